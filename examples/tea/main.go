// Command tea is a tea room in one process: three clients want tea, coffee and
// water. It is the smallest program that shows a typed service, an error that
// crosses the mesh, and a stream.
//
//	go run ./examples/tea
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"

	"github.com/mdpmesh/mesh"
)

// Order is what a guest wants to have brewed.
type Order struct {
	Drink string `json:"drink" description:"What is brewed." enum:"tea,coffee"`
	Sugar int    `json:"sugar" description:"Spoons of sugar." minimum:"0" maximum:"3"`
}

// Cup is what she gets.
type Cup struct {
	Text string `json:"text"`
}

// Glass is how much water a guest wants.
type Glass struct {
	Millilitres int `json:"ml" minimum:"50" maximum:"500"`
}

// Level is how full the glass is.
type Level struct {
	Millilitres int `json:"ml"`
}

// What the tea room offers. Each of these stands on both sides: the room serves
// it, and guests call it.
var (
	Brew = mesh.NewMethod[Order, Cup]("tearoom.brew", mesh.Doc("Brews one cup."))
	Pour = mesh.NewStream[Glass, Level]("tearoom.pour", mesh.Doc("Fills a glass with water, and says how far it is."))
)

// ErrSoldOut says that nothing is left of a drink.
var ErrSoldOut = errors.New("sold out")

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// run opens the tea room, lets the guests in, and closes it.
func run(ctx context.Context) error {
	var errs mesh.Errors
	errs.Add(1001, ErrSoldOut) // the room sends the code, and guests get the error

	room := mesh.NewService("tearoom").Handle(Brew.With(brew), Pour.With(pour))
	m, err := mesh.Start(ctx, mesh.Config{Worker: mesh.WorkerConfig{Errors: &errs}}, room)
	if err != nil {
		return err
	}
	for _, g := range guests {
		err = errors.Join(err, g.visit(ctx, m, &errs))
	}
	return errors.Join(err, m.Stop(ctx))
}

// brew serves Brew. Its orders are such as the tags allow: others are refused
// before.
func brew(ctx context.Context, o Order) (Cup, error) {
	if o.Drink == "coffee" {
		return Cup{}, fmt.Errorf("%s is %w", o.Drink, ErrSoldOut)
	}
	cup := Cup{Text: fmt.Sprintf("%s with %d sugar", o.Drink, o.Sugar)}
	if r, ok := mesh.RequestFrom(ctx); ok {
		cup.Text += " for " + r.Claimed // nobody checked the name
	}
	return cup, nil
}

// pour serves Pour. yield waits where the guest doesn't keep up, and returns
// false where nobody drinks any more.
func pour(_ context.Context, g Glass) iter.Seq2[Level, error] {
	return func(yield func(Level, error) bool) {
		for ml := 0; ml < g.Millilitres; {
			ml = min(ml+50, g.Millilitres)
			if !yield(Level{ml}, nil) {
				return
			}
		}
	}
}

// guest is a client.
type guest struct {
	name, wants string
	order       func(context.Context, *mesh.Client) error
}

var guests = []guest{
	{"Thandi", "tea", orderTea},
	{"Jan", "coffee", orderCoffee},
	{"Amina", "water", orderWater},
}

func (g guest) visit(ctx context.Context, m *mesh.Mesh, errs *mesh.Errors) error {
	client, err := m.NewClient(mesh.ClientConfig{Name: g.name, Errors: errs})
	if err != nil {
		return err
	}
	fmt.Printf("%s wants %s.\n", g.name, g.wants)
	return errors.Join(g.order(ctx, client), client.Close())
}

// orderTea gets a reply.
func orderTea(ctx context.Context, c *mesh.Client) error {
	cup, err := Brew.Call(ctx, c, Order{Drink: "tea", Sugar: 1})
	if err != nil {
		return err
	}
	fmt.Printf("  Here you are: %s.\n", cup.Text)
	return nil
}

// orderCoffee gets an error.
func orderCoffee(ctx context.Context, c *mesh.Client) error {
	_, err := Brew.Call(ctx, c, Order{Drink: "coffee", Sugar: 3})
	if errors.Is(err, ErrSoldOut) {
		fmt.Printf("  Sorry: %v.\n", err)
		return nil
	}
	return err
}

// orderWater gets a stream.
func orderWater(ctx context.Context, c *mesh.Client) error {
	for level, err := range Pour.Call(ctx, c, Glass{Millilitres: 220}) {
		if err != nil {
			return err
		}
		fmt.Printf("  %d ml\n", level.Millilitres)
	}
	fmt.Println("  The glass is full.")
	return nil
}
