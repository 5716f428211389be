package mesh_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

type Order struct {
	Sugar int    `json:"sugar" minimum:"0"`
	Kind  string `json:"kind" enum:"black,green"`
}
type Cup struct {
	Text string `json:"text"`
}

var brewM = mesh.NewMethod[Order, Cup]("tea.brew", mesh.Idempotent())
var pourM = mesh.NewStream[Order, Cup]("tea.pour")

func TestThin(t *testing.T) {
	ctx := context.Background()
	tea := mesh.NewService("tea").Handle(
		brewM.With(func(ctx context.Context, o Order) (Cup, error) {
			if o.Sugar > 5 {
				return Cup{}, mesh.Errorf(1000, "too sweet")
			}
			return Cup{Text: fmt.Sprint(o.Kind, o.Sugar)}, nil
		}),
		pourM.With(func(ctx context.Context, o Order) iter.Seq2[Cup, error] {
			return func(yield func(Cup, error) bool) {
				for i := range 100 {
					if !yield(Cup{Text: fmt.Sprint(i)}, nil) {
						return
					}
				}
			}
		}))
	m, err := mesh.Start(ctx, mesh.Config{}, tea)
	require.NoError(t, err)
	cup, err := brewM.Call(ctx, m.Client(), Order{Sugar: 1, Kind: "black"})
	require.NoError(t, err)
	require.Equal(t, "black1", cup.Text)
	_, err = brewM.Call(ctx, m.Client(), Order{Sugar: 9, Kind: "black"})
	t.Log(err)
	_, err = brewM.Call(ctx, m.Client(), Order{Sugar: -9, Kind: "red"})
	t.Log(err, mesh.Faults(err))
	n := 0
	for c, err := range pourM.Call(ctx, m.Client(), Order{Kind: "green"}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), c.Text)
		n++
	}
	require.Equal(t, 100, n)
	snap, err := m.Broker().Snapshot(ctx)
	require.NoError(t, err)
	t.Logf("%+v", snap)
	stop, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	require.NoError(t, m.Stop(stop))
}

func BenchmarkTyped(b *testing.B) {
	ctx := context.Background()
	tea := mesh.NewService("tea").Handle(brewM.With(func(ctx context.Context, o Order) (Cup, error) { return Cup{Text: o.Kind}, nil }))
	m, err := mesh.Start(ctx, mesh.Config{}, tea)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := brewM.Call(ctx, m.Client(), Order{Sugar: 1, Kind: "black"})
		if err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, m.Stop(ctx))
}
