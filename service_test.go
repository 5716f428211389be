package mesh_test

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

func TestServicePanics(t *testing.T) {
	t.Parallel()
	brew := mesh.NewMethod[struct{}, int]("tea.brew").With(func(context.Context, struct{}) (int, error) { return 0, nil })
	for name, c := range map[string]struct {
		make func()
		want string
	}{
		"no name":              {func() { mesh.NewService("") }, "bad service name"},
		"a long name":          {func() { mesh.NewService(strings.Repeat("x", 256)) }, "bad service name"},
		"a line break":         {func() { mesh.NewService("te\na") }, "bad service name"},
		"no UTF-8":             {func() { mesh.NewService("\xff") }, "bad service name"},
		"mmi":                  {func() { mesh.NewService("mmi.tea") }, "reserved"},
		"another's method":     {func() { mesh.NewService("coffee").Handle(brew) }, `"tea.brew" doesn't belong to service "coffee"`},
		"a method twice":       {func() { mesh.NewService("tea").Handle(brew, brew) }, "two handlers"},
		"a raw method as well": {func() { mesh.NewService("tea").Handle(brew).HandleRaw("brew", callEcho) }, "two handlers"},
		"a dot":                {func() { mesh.NewService("tea").HandleRaw("tea.brew", callEcho) }, "has a dot"},
		"no method's name":     {func() { mesh.NewService("tea").HandleRaw("", callEcho) }, "name"},
		"a bad method's name":  {func() { mesh.NewService("tea").HandleRaw("a\x00", callEcho) }, "printable"},
		"rpc":                  {func() { mesh.NewService("rpc").HandleRaw("cancel", callEcho) }, "reserved"},
		"bad params":           {func() { mesh.NewService("tea").HandleRaw("brew", callEcho, mesh.Params(json.RawMessage(`{"type":7}`))) }, "parameters"},
		"params that are none": {func() { mesh.NewService("tea").HandleRaw("brew", callEcho, mesh.Params(json.RawMessage(`{`))) }, "parameters"},
		"a bad result":         {func() { mesh.NewService("tea").HandleRaw("brew", callEcho, mesh.Result(json.RawMessage(`{"type":7}`))) }, "result"},
		"a bad stream":         {func() { mesh.NewService("tea").HandleRawStream("a.b", nil) }, "has a dot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			methodPanics(t, c.want, c.make)
		})
	}
	require.Equal(t, "shop.tea", mesh.NewService("shop.tea").Name())
}

const serviceSchema = `{"type":"object","properties":{"kind":{"enum":["black","green"]},"sugar":{"type":"integer","default":2}},"required":["kind"]}`

func TestServiceRawSchema(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		runs := 0
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").
			HandleRaw("brew", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
				runs++
				return params, nil
			}, mesh.Params(json.RawMessage(serviceSchema)), mesh.Result(json.RawMessage(`{"type":"string"}`))).
			HandleRawStream("pour", func(_ context.Context, params json.RawMessage) iter.Seq2[json.RawMessage, error] {
				return func(yield func(json.RawMessage, error) bool) {
					runs++
					yield(params, nil)
				}
			}, mesh.Params(json.RawMessage(serviceSchema))).
			HandleRaw("free", callEcho))
		c := h.client()

		got, err := c.CallRaw(t.Context(), "tea.brew", json.RawMessage(`{"kind":"black"}`))
		require.NoError(t, err, "a result isn't checked")
		require.JSONEq(t, `{"kind":"black"}`, string(got), "a default is documentation here")
		values, err := callCollect(c.StreamRaw(t.Context(), "tea.pour", json.RawMessage(`{"kind":"black"}`)))
		require.NoError(t, err)
		require.Len(t, values, 1)
		require.JSONEq(t, `{"kind":"black"}`, string(values[0]))
		require.Equal(t, 2, runs)

		for _, params := range []string{`{}`, `{"kind":"red"}`, `[]`, `{"kind":"black","sugar":"x"}`} {
			_, err = c.CallRaw(t.Context(), "tea.brew", json.RawMessage(params))
			require.ErrorIs(t, err, mesh.ErrInvalidParams, params)
			require.Len(t, mesh.Faults(err), 1, params)
			require.ErrorIs(t, callDrain(c.StreamRaw(t.Context(), "tea.pour", json.RawMessage(params))), mesh.ErrInvalidParams, params)
		}
		require.Equal(t, 2, runs, "the handler isn't called")

		got, err = c.CallRaw(t.Context(), "tea.free", json.RawMessage(`[1,"x"]`))
		require.NoError(t, err, "without a schema anything goes")
		require.Equal(t, `[1,"x"]`, string(got))
	})
}

// What a service says of itself travels with the worker's registration.
func TestServiceDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		type order struct {
			Kind string `json:"kind" description:"What." enum:"black,green"`
		}
		brew := mesh.NewMethod[order, int]("tea.brew", mesh.Doc("Brews."), mesh.Idempotent(), mesh.Attempts(2))
		pour := mesh.NewStream[order, string]("tea.pour")
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea", mesh.Doc("All of tea.")).
			Handle(
				brew.With(func(context.Context, order) (int, error) { return 0, nil }),
				pour.With(func(context.Context, order) iter.Seq2[string, error] { return nil }),
			).
			HandleRaw("raw", callEcho, mesh.Params(json.RawMessage(serviceSchema)), mesh.Result(json.RawMessage(`{"type":"string"}`))))
		p := h.peer()
		p.asks("mmi.services", `{"jsonrpc":"2.0","id":1,"method":"mmi.services"}`)
		var env jsonrpc.Envelope
		jsonrpc.Scan(p.final(), &env)
		var services []struct {
			Name, Doc string
			Workers   int
			Methods   []struct {
				Name, Doc          string
				Idempotent, Stream bool
				Attempts           int
				Params, Result     struct {
					Type       string
					Required   []string
					Properties map[string]struct{ Description string }
				}
			}
		}
		require.NoError(t, json.Unmarshal(env.Result, &services))
		require.Len(t, services, 1)
		s := services[0]
		require.Equal(t, "tea", s.Name)
		require.Equal(t, "All of tea.", s.Doc)
		require.Equal(t, 1, s.Workers)
		require.Len(t, s.Methods, 3)
		m := s.Methods[0]
		require.Equal(t, "brew", m.Name)
		require.Equal(t, "Brews.", m.Doc)
		require.True(t, m.Idempotent)
		require.False(t, m.Stream)
		require.Equal(t, 2, m.Attempts)
		require.Equal(t, "object", m.Params.Type)
		require.Equal(t, []string{"kind"}, m.Params.Required)
		require.Equal(t, "What.", m.Params.Properties["kind"].Description)
		require.Equal(t, "integer", m.Result.Type)
		m = s.Methods[1]
		require.Equal(t, "pour", m.Name)
		require.True(t, m.Stream)
		require.False(t, m.Idempotent)
		require.Equal(t, "string", m.Result.Type)
		m = s.Methods[2]
		require.Equal(t, "raw", m.Name)
		require.Equal(t, []string{"kind"}, m.Params.Required)
		require.Equal(t, "string", m.Result.Type)
	})
}

// Several workers may share a service; each wraps it with interceptors of its own.
func TestServiceOfSeveralWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		tea := mesh.NewService("tea").Handle(methodBrew.With(func(ctx context.Context, in methodAll) (methodAll, error) {
			in.Names = map[string]string{"worker": ctx.Value(serviceKey{}).(string)}
			return in, nil
		}))
		for _, name := range []string{"a", "b", "c"} {
			h.worker(mesh.WorkerConfig{Capacity: 1, Context: context.WithValue(context.Background(), serviceKey{}, name)}, tea)
		}
		c := h.client()
		got := make(map[string]int)
		for range 30 {
			out, err := methodBrew.Call(t.Context(), c, methodAll{Kind: "black"})
			require.NoError(t, err)
			got[out.Names["worker"]]++
		}
		require.Equal(t, map[string]int{"a": 10, "b": 10, "c": 10}, got, "they take turns")

		// A service that grows later doesn't change workers that have it.
		tea.HandleRaw("late", callEcho)
		require.ErrorIs(t, callLast(c.CallRaw(t.Context(), "tea.late", nil)), mesh.ErrNoMethod)
	})
}

type serviceKey struct{}
