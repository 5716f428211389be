package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// codecLoud writes and reads text in capital letters, and counts what it does.
type codecLoud struct {
	marshals, unmarshals atomic.Int64
	fail                 error
}

func (c *codecLoud) Marshal(v any) ([]byte, error) {
	c.marshals.Add(1)
	raw, err := json.Marshal(v)
	if c.fail != nil {
		return nil, c.fail
	}
	return bytes.ReplaceAll(raw, []byte("tea"), []byte("TEA")), err
}

func (c *codecLoud) Unmarshal(data []byte, v any) error {
	c.unmarshals.Add(1)
	if c.fail != nil {
		return c.fail
	}
	return json.Unmarshal(bytes.ReplaceAll(data, []byte("cup"), []byte("CUP")), v)
}

// codecGarbage writes what is no JSON.
type codecGarbage struct{ mesh.Codec }

func (codecGarbage) Marshal(any) ([]byte, error) { return []byte("garbage"), nil }

type codecText struct {
	Text string `json:"text"`
}

var (
	codecBrew = mesh.NewMethod[codecText, codecText]("tea.brew")
	codecPour = mesh.NewStream[codecText, codecText]("tea.pour")
)

func codecService() *mesh.Service {
	return mesh.NewService("tea").Handle(
		codecBrew.With(func(_ context.Context, in codecText) (codecText, error) { return codecText{in.Text + ", tea"}, nil }),
		codecPour.With(func(_ context.Context, in codecText) iter.Seq2[codecText, error] {
			return func(yield func(codecText, error) bool) {
				_ = yield(codecText{in.Text + ", tea"}, nil) && yield(codecText{"cup"}, nil)
			}
		}))
}

func TestCodec(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker, client bool
		want           string // of the call with "tea, cup"
		values         []codecText
	}{
		"none":       {false, false, "tea, cup, tea", []codecText{{"tea, cup, tea"}, {"cup"}}},
		"the worker": {true, false, "TEA, CUP, TEA", []codecText{{"TEA, CUP, TEA"}, {"cup"}}},
		"the client": {false, true, "TEA, CUP, tea", []codecText{{"TEA, CUP, tea"}, {"CUP"}}},
		"both":       {true, true, "TEA, CUP, TEA", []codecText{{"TEA, CUP, TEA"}, {"CUP"}}},
	} {
		hubRun(t, name, func(t *testing.T) {
			var atWorker, atClient codecLoud
			wc, cc := mesh.WorkerConfig{}, mesh.ClientConfig{}
			if c.worker {
				wc.Codec = &atWorker
			}
			if c.client {
				cc.Codec = &atClient
			}
			h := hubStart(t, mesh.BrokerConfig{})
			h.worker(wc, codecService())
			client := h.clientOf(cc)
			out, err := codecBrew.Call(t.Context(), client, codecText{"tea, cup"})
			require.NoError(t, err)
			require.Equal(t, c.want, out.Text)
			var untyped codecText
			require.NoError(t, client.Call(t.Context(), "tea.brew", codecText{"tea, cup"}, &untyped))
			require.Equal(t, c.want, untyped.Text)
			values, err := callCollect(codecPour.Call(t.Context(), client, codecText{"tea, cup"}))
			require.NoError(t, err)
			require.Equal(t, c.values, values)
			for of, codec := range map[*codecLoud]struct {
				used                 bool
				marshals, unmarshals int64
			}{&atWorker: {c.worker, 4, 3}, &atClient: {c.client, 3, 4}} {
				if codec.used {
					require.Equal(t, codec.marshals, of.marshals.Load())
					require.Equal(t, codec.unmarshals, of.unmarshals.Load())
				} else {
					require.Zero(t, of.marshals.Load()+of.unmarshals.Load())
				}
			}
		})
	}
}

func TestCodecFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		failing := &codecLoud{fail: errors.New("codec broke")}
		h.worker(mesh.WorkerConfig{Codec: failing}, codecService())
		_, err := codecBrew.Call(t.Context(), h.client(), codecText{"a"})
		require.ErrorIs(t, err, mesh.ErrInvalidParams, "as the worker can't read them")
		require.ErrorContains(t, err, "codec broke")
		require.False(t, callError(t, err).Local)
		require.ErrorIs(t, callDrain(codecPour.Call(t.Context(), h.client(), codecText{"a"})), mesh.ErrInvalidParams)

		h.worker(mesh.WorkerConfig{Codec: codecGarbage{mesh.JSON()}}, mesh.NewService("garbage").
			Handle(mesh.NewMethod[codecText, int]("garbage.one").With(func(context.Context, codecText) (int, error) { return 1, nil })))
		err = h.client().Call(t.Context(), "garbage.one", codecText{"a"}, nil)
		require.ErrorIs(t, err, mesh.ErrInternal)
		require.False(t, callError(t, err).Local)

		_, err = codecBrew.Call(t.Context(), h.clientOf(mesh.ClientConfig{Codec: failing}), codecText{"a"})
		require.ErrorIs(t, err, mesh.ErrInvalidParams)
		require.ErrorIs(t, err, failing.fail)
		require.True(t, callError(t, err).Local)
	})
}
