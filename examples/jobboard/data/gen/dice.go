package main

import "math/rand/v2"

// dice draws from the PCG generator itself, whose sequence is fixed, rather than
// from rand.Rand, whose methods may draw differently in another Go release.
type dice struct{ pcg *rand.PCG }

func newDice(seed uint64) dice { return dice{rand.NewPCG(seed, 0)} }

// roll returns a number from 0 to n-1.
func (d dice) roll(n int) int { return int(d.pcg.Uint64() % uint64(n)) }

// shuffle puts s into a random order.
func shuffle[T any](d dice, s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := d.roll(i + 1)
		s[i], s[j] = s[j], s[i]
	}
}

// pick returns a random element of s.
func pick[T any](d dice, s []T) T { return s[d.roll(len(s))] }

// some returns n random elements of s in the order in which they stand there.
func some[T any](d dice, s []T, n int) []T {
	n = min(n, len(s))
	picked := make([]T, 0, n)
	for i, v := range s {
		// Each element is taken with the chance that leaves the rest right.
		if d.roll(len(s)-i) < n-len(picked) {
			picked = append(picked, v)
		}
	}
	return picked
}
