package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	main()
	// Output:
	// Thandi wants tea.
	//   Here you are: tea with 1 sugar for Thandi.
	// Jan wants coffee.
	//   Sorry: mesh: code 1001: coffee is sold out.
	// Amina wants water.
	//   50 ml
	//   100 ml
	//   150 ml
	//   200 ml
	//   220 ml
	//   The glass is full.
}
