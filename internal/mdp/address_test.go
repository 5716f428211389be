package mdp_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

type goldenAddress struct {
	Name, Form  string
	Frame       frame
	Token       string
	RemainingMS *uint32 `json:"remaining_ms"`
	Attempt     uint8
	Service     uint16
	Caller      string
}

func TestGoldenAddresses(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenAddress](t, "addresses.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			address, addressErr := mdp.ParseAddress(g.Frame)
			plain, plainErr := mdp.ParseToken(g.Frame)
			either, eitherErr := mdp.AddressToken(g.Frame)
			if g.Form == "none" {
				require.Error(t, addressErr)
				require.Error(t, plainErr)
				require.ErrorContains(t, eitherErr, "mdp: address: neither")
				require.Zero(t, address)
				require.Zero(t, plain)
				require.Zero(t, either)
				return
			}

			token, err := strconv.ParseUint(g.Token, 16, 64)
			require.NoError(t, err)
			require.NoError(t, eitherErr)
			require.Equal(t, token, either)
			if g.Form == "plain" {
				require.NoError(t, plainErr)
				require.Equal(t, token, plain)
				require.Equal(t, []byte(g.Frame), mdp.AppendToken(nil, token))
				require.Error(t, addressErr)
				return
			}
			require.Equal(t, "registered", g.Form)
			require.NoError(t, addressErr)
			want := mdp.Address{
				Token:     token,
				Remaining: mdp.NoDeadline,
				Attempt:   g.Attempt,
				Service:   g.Service,
				Caller:    []byte(g.Caller),
			}
			if g.RemainingMS != nil {
				want.Remaining = *g.RemainingMS
			}
			require.Equal(t, want, address)
			require.Equal(t, []byte(g.Frame), want.AppendTo(nil))
			require.Error(t, plainErr)
		})
	}
}

func TestAddressErrors(t *testing.T) {
	t.Parallel()
	_, err := mdp.ParseAddress(make([]byte, 15))
	require.EqualError(t, err, "mdp: address: shorter than 16 bytes")
	_, err = mdp.ParseAddress(make([]byte, 16))
	require.EqualError(t, err, "mdp: address: unknown version, want 0x01")
	_, err = mdp.ParseToken([]byte("tea"))
	require.EqualError(t, err, "mdp: address: not a token, want 16 lower-case hexadecimal digits")
	_, err = mdp.AddressToken(nil)
	require.EqualError(t, err, "mdp: address: neither 16 lower-case hexadecimal digits nor version 0x01 with at least 15 bytes more")
}

func TestAddressAppends(t *testing.T) {
	t.Parallel()
	a := mdp.Address{Token: 1}
	require.Equal(t, append([]byte("x"), a.AppendTo(nil)...), a.AppendTo([]byte("x")))
	require.Equal(t, "x0000000000000001", string(mdp.AppendToken([]byte("x"), 1)))
}

func TestAddressCallerIsClipped(t *testing.T) {
	t.Parallel()
	a := mdp.Address{Caller: []byte("gateway")}
	b := a.AppendTo(make([]byte, 0, 100))
	got, err := mdp.ParseAddress(b)
	require.NoError(t, err)
	require.Len(t, got.Caller, cap(got.Caller))
}

func TestTokenMatchesFmt(t *testing.T) {
	t.Parallel()
	tokens := []uint64{0, math.MaxUint64}
	for i := range 64 {
		tokens = append(tokens, 1<<i, 0xdeadbeefcafe<<i)
	}
	for _, token := range tokens {
		b := mdp.AppendToken(nil, token)
		require.Equal(t, fmt.Sprintf("%016x", token), string(b))
		got, err := mdp.ParseToken(b)
		require.NoError(t, err)
		require.Equal(t, token, got)
	}
}

func TestAddressDoesNotAllocate(t *testing.T) {
	a := mdp.Address{Token: 7, Remaining: 1500, Attempt: 1, Caller: []byte("gateway")}
	dst := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		frame := a.AppendTo(dst)
		if got, err := mdp.ParseAddress(frame); err != nil || got.Token != a.Token {
			panic("not parsed")
		}
		if token, err := mdp.AddressToken(frame); err != nil || token != a.Token {
			panic("no token")
		}
		if token, err := mdp.AddressToken(mdp.AppendToken(dst, a.Token)); err != nil || token != a.Token {
			panic("no token")
		}
		if _, err := mdp.AddressToken(dst[:3]); err == nil {
			panic("not refused")
		}
	}))
}
