package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// methodAll has most of what a contract can say.
type methodAll struct {
	Kind  string            `json:"kind" enum:"black,green"`
	Sugar int               `json:"sugar,omitzero" minimum:"0" maximum:"5" default:"2"`
	Steep time.Duration     `json:"steep,omitzero"`
	When  time.Time         `json:"when,omitzero"`
	Blob  []byte            `json:"blob,omitzero"`
	Big   *big.Int          `json:"big,omitzero"`
	Names map[string]string `json:"names,omitzero"`
	Table *methodTable      `json:"table,omitzero"`
	Cups  []methodTable     `json:"cups,omitzero" maxItems:"2"`
}

type methodTable struct {
	Number int    `json:"number" minimum:"1"`
	Room   string `json:"room,omitzero" default:"garden"`
}

var methodBrew = mesh.NewMethod[methodAll, methodAll]("tea.brew", mesh.Doc("Brews."), mesh.Idempotent(), mesh.Attempts(2))

// methodServed returns a client of a worker that returns what it gets, and a count
// of the handler's runs.
func methodServed(t *testing.T) (c *mesh.Client, runs *int) {
	t.Helper()
	runs = new(int)
	h := hubStart(t, mesh.BrokerConfig{})
	h.worker(mesh.WorkerConfig{Capacity: 1}, mesh.NewService("tea").Handle(methodBrew.With(func(_ context.Context, in methodAll) (methodAll, error) {
		*runs++
		return in, nil
	})))
	c = h.client()
	return c, runs
}

func TestMethodRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, runs := methodServed(t)
		in := methodAll{
			Kind: "green", Sugar: 5, Steep: 90 * time.Second, When: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Blob: []byte{0, 1, 255},
			Big: new(big.Int).Lsh(big.NewInt(1), 100), Names: map[string]string{"ä/~": "\u2028"},
			Table: &methodTable{Number: 4, Room: "hall"}, Cups: []methodTable{{Number: 1, Room: "a"}, {Number: 2, Room: "b"}},
		}
		out, err := methodBrew.Call(t.Context(), c, in)
		require.NoError(t, err)
		require.Equal(t, in, out)
		require.Equal(t, 1, *runs)
		require.Equal(t, "tea.brew", methodBrew.Name())

		// Methods without types see the written form of the same.
		raw, err := c.CallRaw(t.Context(), "tea.brew", json.RawMessage(`{"kind":"black","steep":"PT90S","blob":"AAE=","big":"12","table":null}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"kind":"black","sugar":2,"steep":"PT1M30S","blob":"AAE=","big":"12"}`, string(raw))

		p := methodBrew.Go(t.Context(), c, in)
		for range 2 {
			<-p.Done()
			out, err = p.Wait()
			require.NoError(t, err)
			require.Equal(t, in, out)
		}
		require.NoError(t, methodBrew.Notify(t.Context(), c, in))
		synctest.Wait()
		require.Equal(t, 4, *runs)
	})
}

func TestMethodDefaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := methodServed(t)
		out, err := methodBrew.Call(t.Context(), c, methodAll{Kind: "black", Table: &methodTable{Number: 1}, Cups: []methodTable{{Number: 2}}})
		require.NoError(t, err)
		require.Equal(t, methodAll{
			Kind: "black", Sugar: 2, Table: &methodTable{Number: 1, Room: "garden"}, Cups: []methodTable{{Number: 2, Room: "garden"}},
		}, out)
		raw, err := c.CallRaw(t.Context(), "tea.brew", json.RawMessage(`{"kind":"black","sugar":0}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"kind":"black"}`, string(raw), "what is there isn't absent")
	})
}

func TestMethodFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		params string
		paths  []string
	}{
		"none":         {``, []string{"/kind"}},
		"an array":     {`[]`, []string{""}},
		"not one of":   {`{"kind":"red"}`, []string{"/kind"}},
		"of bad types": {`{"kind":1,"sugar":"1"}`, []string{"/kind", "/sugar"}},
		"too much":     {`{"kind":"black","sugar":6}`, []string{"/sugar"}},
		"a fraction":   {`{"kind":"black","sugar":1.5}`, []string{"/sugar"}},
		"deep":         {`{"kind":"black","table":{"number":0},"cups":[{"number":1},{}]}`, []string{"/table/number", "/cups/1/number"}},
		"too many":     {`{"kind":"black","cups":[{"number":1},{"number":1},{"number":1}]}`, []string{"/cups"}},
		"a bad time":   {`{"kind":"black","when":"yesterday"}`, []string{"/when"}},
		"a bad length": {`{"kind":"black","steep":"3m"}`, []string{"/steep", "/steep"}}, // its format and its pattern
		"a bad blob":   {`{"kind":"black","blob":"*"}`, []string{"/blob"}},
		"odd names":    {`{"kind":"black","names":{"a/b~c":1}}`, []string{"/names/a~1b~0c"}},
		"no such case": {`{"Kind":"black"}`, []string{"/kind"}},
	} {
		hubRun(t, name, func(t *testing.T) {
			client, runs := methodServed(t)
			var params json.RawMessage
			if c.params != "" {
				params = json.RawMessage(c.params)
			}
			_, err := client.CallRaw(t.Context(), "tea.brew", params)
			require.ErrorIs(t, err, mesh.ErrInvalidParams)
			require.False(t, callError(t, err).Local)
			var paths []string
			for _, f := range mesh.Faults(fmt.Errorf("wrapped: %w", err)) {
				paths = append(paths, f.Path)
				require.NotEmpty(t, f.Message)
				require.ErrorContains(t, err, f.Message)
			}
			require.Equal(t, c.paths, paths)
			require.Zero(t, *runs, "the handler isn't called")
		})
	}
}

func TestFaultsOfOtherErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		nil, errors.New("other"), mesh.ErrTimeout, mesh.ErrInvalidParams, &mesh.Error{Code: mesh.CodeInvalidParams, Data: json.RawMessage(`"x"`)},
		&mesh.Error{Code: mesh.CodeInternal, Data: json.RawMessage(`{"faults":[{"path":"/a","message":"b"}]}`)},
	} {
		require.Empty(t, mesh.Faults(err))
	}
}

// A client whose types are another version's is told what it doesn't understand.
func TestMethodResultThatDoesNotFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := methodServed(t)
		other := mesh.NewMethod[methodAll, struct {
			Kind int `json:"kind"`
		}]("tea.brew")
		_, err := other.Call(t.Context(), c, methodAll{Kind: "black"})
		require.ErrorIs(t, err, mesh.ErrInternal)
		require.True(t, callError(t, err).Local)
		require.True(t, callError(t, err).HandedOver)

		fits := mesh.NewMethod[map[string]any, struct {
			Kind string `json:"kind"`
		}]("tea.brew")
		out, err := fits.Call(t.Context(), c, map[string]any{"kind": "black", "more": []int{1}})
		require.NoError(t, err, "members that one side doesn't know don't matter")
		require.Equal(t, "black", out.Kind)
	})
}

func TestMethodValuesThatAreNoJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		method := mesh.NewMethod[map[string]any, any]("tea.any")
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").Handle(method.With(func(context.Context, map[string]any) (any, error) {
			return func() {}, nil
		})))
		_, err := method.Call(t.Context(), h.client(), map[string]any{"a": func() {}})
		require.ErrorIs(t, err, mesh.ErrInvalidParams)
		require.True(t, callError(t, err).Local)
		require.False(t, callError(t, err).HandedOver)
		_, err = method.Call(t.Context(), h.client(), nil)
		require.ErrorIs(t, err, mesh.ErrInternal)
		require.False(t, callError(t, err).Local)
		require.ErrorContains(t, err, "the result can't be written")
	})
}

// Parameters may be whatever is an object or an array.
func TestMethodParameterTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list := mesh.NewMethod[[]int, int]("sum.list")
		object := mesh.NewMethod[map[string]int, int]("sum.object")
		pointer := mesh.NewMethod[*methodTable, int]("sum.pointer")
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("sum").Handle(
			list.With(func(_ context.Context, in []int) (n int, err error) {
				for _, v := range in {
					n += v
				}
				return n, nil
			}),
			object.With(func(_ context.Context, in map[string]int) (n int, err error) {
				for _, v := range in {
					n += v
				}
				return n, nil
			}),
			pointer.With(func(_ context.Context, in *methodTable) (int, error) { return in.Number, nil }),
		))
		c := h.client()
		n, err := list.Call(t.Context(), c, []int{1, 2, 3})
		require.NoError(t, err)
		require.Equal(t, 6, n)
		n, err = list.Call(t.Context(), c, nil)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = object.Call(t.Context(), c, map[string]int{"a": 4, "b": 5})
		require.NoError(t, err)
		require.Equal(t, 9, n)
		n, err = pointer.Call(t.Context(), c, &methodTable{Number: 7})
		require.NoError(t, err)
		require.Equal(t, 7, n)
		_, err = pointer.Call(t.Context(), c, nil)
		require.ErrorIs(t, err, mesh.ErrInvalidParams, "null stands for none: /number is missing")
	})
}

// What makes no contract is a mistake in the program, and said when it is made.
func TestNewMethodPanics(t *testing.T) {
	t.Parallel()
	type bad struct {
		C chan int `json:"c"`
	}
	type badTag struct {
		N int `json:"n" minimum:"x"`
	}
	for name, c := range map[string]struct {
		make func()
		want string
	}{
		"no dot":           {func() { mesh.NewMethod[struct{}, int]("brew") }, "brew"},
		"no service":       {func() { mesh.NewMethod[struct{}, int](".brew") }, ".brew"},
		"no method":        {func() { mesh.NewMethod[struct{}, int]("tea.") }, "tea."},
		"empty":            {func() { mesh.NewMethod[struct{}, int]("") }, "name"},
		"mmi":              {func() { mesh.NewMethod[struct{}, int]("mmi.x.y") }, "reserved"},
		"rpc":              {func() { mesh.NewMethod[struct{}, int]("rpc.cancel") }, "reserved"},
		"rpc, deeper":      {func() { mesh.NewMethod[struct{}, int]("rpc.a.b") }, "reserved"},
		"a line break":     {func() { mesh.NewMethod[struct{}, int]("tea.br\new") }, "printable"},
		"a long name":      {func() { mesh.NewMethod[struct{}, int]("tea." + strings.Repeat("x", 256)) }, "255"},
		"a long service":   {func() { mesh.NewMethod[struct{}, int](strings.Repeat("x", 256) + ".brew") }, "255"},
		"no structure":     {func() { mesh.NewMethod[int, int]("tea.brew") }, "neither an object nor an array"},
		"text":             {func() { mesh.NewMethod[time.Time, int]("tea.brew") }, "neither an object nor an array"},
		"anything":         {func() { mesh.NewMethod[any, int]("tea.brew") }, "neither an object nor an array"},
		"a channel":        {func() { mesh.NewMethod[bad, int]("tea.brew") }, "parameters"},
		"a channel, again": {func() { mesh.NewMethod[struct{}, bad]("tea.brew") }, "result"},
		"a bad tag":        {func() { mesh.NewMethod[badTag, int]("tea.brew") }, "minimum"},
		"schemas":          {func() { mesh.NewMethod[struct{}, int]("tea.brew", mesh.Params(json.RawMessage(`{}`))) }, "Go types"},
		"attempts":         {func() { mesh.NewMethod[struct{}, int]("tea.brew", mesh.Attempts(0)) }, "Attempts(0)"},
		"a stream":         {func() { mesh.NewStream[int, int]("tea.brew") }, "neither an object nor an array"},
		"a stream's name":  {func() { mesh.NewStream[struct{}, int]("brew") }, "brew"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			methodPanics(t, c.want, c.make)
		})
	}
}

// methodPanics requires that f panics with mesh's own text, which contains want.
func methodPanics(t *testing.T, want string, f func()) {
	t.Helper()
	var text string
	func() {
		defer func() { text = fmt.Sprint(recover()) }()
		f()
	}()
	require.Contains(t, text, "mesh: ")
	require.Contains(t, text, want)
}
