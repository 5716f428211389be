package main

import "github.com/mdpmesh/mesh/examples/jobboard/job"

// market is what salaries look like in a country.
type market struct {
	currency string
	per      string
	// A yearly salary of z thousand rand becomes scale × z^curve thousand of
	// the currency: a curve below 1 narrows the gap between low and high pay.
	scale, curve float64
	// step is what offers are rounded to, in whole units of the currency.
	step int
}

var markets = map[string]market{
	"South Africa":   {"ZAR", "month", 1, 1, 500},
	"Namibia":        {"NAD", "month", 1.05, 0.98, 500},
	"Kenya":          {"KES", "month", 8.2, 0.9, 5000},
	"Ghana":          {"GHS", "month", 0.55, 0.9, 500},
	"Rwanda":         {"RWF", "month", 66, 0.9, 50_000},
	"United Kingdom": {"GBP", "year", 1.77, 0.55, 1000},
	"Ireland":        {"EUR", "year", 2.0, 0.55, 1000},
	"Germany":        {"EUR", "year", 2.0, 0.55, 1000},
	"Netherlands":    {"EUR", "year", 1.95, 0.55, 1000},
	"Portugal":       {"EUR", "year", 1.2, 0.55, 1000},
	"Switzerland":    {"CHF", "year", 3.1, 0.55, 1000},
	"Sweden":         {"SEK", "month", 17, 0.55, 1000},
	"Poland":         {"PLN", "month", 6.0, 0.55, 500},
	"Canada":         {"CAD", "year", 3.0, 0.55, 1000},
	"United States":  {"USD", "year", 4.0, 0.55, 1000},
	"Brazil":         {"BRL", "month", 1.0, 0.8, 500},
	"Colombia":       {"COP", "month", 412, 0.9, 100_000},
	"India":          {"INR", "year", 7.1, 0.9, 50_000},
	"Singapore":      {"SGD", "month", 2.6, 0.55, 100},
	"Australia":      {"AUD", "year", 3.7, 0.55, 1000},
	"Japan":          {"JPY", "year", 245, 0.55, 100_000},
	// Remote positions that are open to everybody are paid alike.
	"": {"USD", "year", 2.4, 0.55, 1000},
}

// places are the locations by the short name that the companies use.
var places = map[string]job.Location{
	"Cape Town":        {City: "Cape Town", Region: "Western Cape", Country: "South Africa"},
	"Stellenbosch":     {City: "Stellenbosch", Region: "Western Cape", Country: "South Africa"},
	"Paarl":            {City: "Paarl", Region: "Western Cape", Country: "South Africa"},
	"Franschhoek":      {City: "Franschhoek", Region: "Western Cape", Country: "South Africa"},
	"Hermanus":         {City: "Hermanus", Region: "Western Cape", Country: "South Africa"},
	"George":           {City: "George", Region: "Western Cape", Country: "South Africa"},
	"Saldanha":         {City: "Saldanha", Region: "Western Cape", Country: "South Africa"},
	"Johannesburg":     {City: "Johannesburg", Region: "Gauteng", Country: "South Africa"},
	"Pretoria":         {City: "Pretoria", Region: "Gauteng", Country: "South Africa"},
	"Midrand":          {City: "Midrand", Region: "Gauteng", Country: "South Africa"},
	"Soweto":           {City: "Soweto", Region: "Gauteng", Country: "South Africa"},
	"Durban":           {City: "Durban", Region: "KwaZulu-Natal", Country: "South Africa"},
	"Pietermaritzburg": {City: "Pietermaritzburg", Region: "KwaZulu-Natal", Country: "South Africa"},
	"Richards Bay":     {City: "Richards Bay", Region: "KwaZulu-Natal", Country: "South Africa"},
	"Gqeberha":         {City: "Gqeberha", Region: "Eastern Cape", Country: "South Africa"},
	"East London":      {City: "East London", Region: "Eastern Cape", Country: "South Africa"},
	"Makhanda":         {City: "Makhanda", Region: "Eastern Cape", Country: "South Africa"},
	"Bloemfontein":     {City: "Bloemfontein", Region: "Free State", Country: "South Africa"},
	"Kimberley":        {City: "Kimberley", Region: "Northern Cape", Country: "South Africa"},
	"Upington":         {City: "Upington", Region: "Northern Cape", Country: "South Africa"},
	"Polokwane":        {City: "Polokwane", Region: "Limpopo", Country: "South Africa"},
	"Mbombela":         {City: "Mbombela", Region: "Mpumalanga", Country: "South Africa"},
	"Rustenburg":       {City: "Rustenburg", Region: "North West", Country: "South Africa"},
	"Windhoek":         {City: "Windhoek", Country: "Namibia"},
	"Nairobi":          {City: "Nairobi", Country: "Kenya"},
	"Accra":            {City: "Accra", Country: "Ghana"},
	"Kigali":           {City: "Kigali", Country: "Rwanda"},
	"London":           {City: "London", Country: "United Kingdom"},
	"Edinburgh":        {City: "Edinburgh", Country: "United Kingdom"},
	"Dublin":           {City: "Dublin", Country: "Ireland"},
	"Berlin":           {City: "Berlin", Country: "Germany"},
	"München":          {City: "München", Country: "Germany"},
	"Amsterdam":        {City: "Amsterdam", Country: "Netherlands"},
	"Lisbon":           {City: "Lisbon", Country: "Portugal"},
	"Zürich":           {City: "Zürich", Country: "Switzerland"},
	"Malmö":            {City: "Malmö", Country: "Sweden"},
	"Kraków":           {City: "Kraków", Country: "Poland"},
	"Montréal":         {City: "Montréal", Region: "Québec", Country: "Canada"},
	"New York":         {City: "New York", Country: "United States"},
	"Portland":         {City: "Portland", Region: "Oregon", Country: "United States"},
	"São Paulo":        {City: "São Paulo", Country: "Brazil"},
	"Bogotá":           {City: "Bogotá", Country: "Colombia"},
	"Bengaluru":        {City: "Bengaluru", Country: "India"},
	"Singapore":        {City: "Singapore", Country: "Singapore"},
	"Melbourne":        {City: "Melbourne", Country: "Australia"},
	"Perth":            {City: "Perth", Country: "Australia"},
	"Tokyo":            {City: "Tokyo", Country: "Japan"},

	"remote in South Africa": {Country: "South Africa", Remote: true},
	"remote in Germany":      {Country: "Germany", Remote: true},
	"remote":                 {Remote: true},
}
