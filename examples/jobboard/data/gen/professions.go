package main

import "slices"

// profession is a kind of work that ads are written for.
type profession struct {
	fields []field
	// ads is how many ads the data set has for it.
	ads int
	// desk says that the work can be done from anywhere.
	desk   bool
	titles []title
	// low and high are the yearly pay at level 1 in South Africa, in thousand
	// rand.
	low, high int
	skills    []string
	// duties complete "You will …".
	duties []string
	// wants complete "You have …".
	wants []string
}

// title is a headline and what it does to the pay.
type title struct {
	name  string
	level float64
}

var professions = slices.Concat(
	softwareProfessions,
	engineeringProfessions,
	tradeProfessions,
	healthProfessions,
	schoolProfessions,
	officeProfessions,
	hospitalityProfessions,
	landProfessions,
	movingProfessions,
	mediaProfessions,
)
