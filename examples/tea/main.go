// Command tea is a tea room: three clients want tea, coffee and water. It is the
// smallest program that shows a typed service, an error that crosses the mesh, and a
// stream. Everything runs in one process, or the room and its guests in one each,
// with a broker between them:
//
//	go run ./examples/tea
//
//	go run ./cmd/mesh broker
//	go run ./examples/tea worker --broker tcp://127.0.0.1:5555
//	go run ./examples/tea client --broker tcp://127.0.0.1:5555
//
// With --discover in place of --broker both look for brokers that announce themselves.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"os"

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

// codes returns the errors that cross the mesh: the room sends the code, and guests
// get the error.
func codes() *mesh.Errors {
	var errs mesh.Errors
	errs.Add(1001, ErrSoldOut)
	return &errs
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run does what the command line says.
func run(args []string) error {
	if len(args) > 0 {
		return overNetwork(args[0], args[1:])
	}
	return inOneProcess(context.Background())
}

// inOneProcess opens the tea room, lets the guests in, and closes it.
func inOneProcess(ctx context.Context) error {
	m, err := mesh.Start(ctx, mesh.Config{Worker: mesh.WorkerConfig{Errors: codes()}}, room())
	if err != nil {
		return err
	}
	return errors.Join(visit(ctx, m.NewClient), m.Stop(ctx))
}

// room returns the tea room.
func room() *mesh.Service { return mesh.NewService("tearoom").Handle(Brew.With(brew), Pour.With(pour)) }

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

// visit lets the guests in, one after the other. Each has a client of its own.
func visit(ctx context.Context, newClient func(mesh.ClientConfig) (*mesh.Client, error)) error {
	for _, g := range guests {
		client, err := newClient(mesh.ClientConfig{Name: g.name, Errors: codes()})
		if err != nil {
			return err
		}
		fmt.Printf("%s wants %s.\n", g.name, g.wants)
		if err := errors.Join(g.order(ctx, client), client.Close()); err != nil {
			return err
		}
	}
	return nil
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
