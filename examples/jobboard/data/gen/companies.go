package main

// field is a line of business; a company hires for the professions that share
// one with it.
type field string

const (
	software    field = "software"
	devices     field = "devices"
	fintech     field = "fintech"
	security    field = "security"
	retail      field = "retail"
	shop        field = "shop"
	design      field = "design"
	games       field = "games"
	agency      field = "agency"
	news        field = "news"
	audio       field = "audio"
	translation field = "translation"
	civil       field = "civil"
	energy      field = "energy"
	solar       field = "solar"
	wind        field = "wind"
	mining      field = "mining"
	workshop    field = "workshop"
	building    field = "building"
	hospital    field = "hospital"
	health      field = "health"
	births      field = "births"
	emergency   field = "emergency"
	care        field = "care"
	school      field = "school"
	university  field = "university"
	finance     field = "finance"
	insurance   field = "insurance"
	law         field = "law"
	hospitality field = "hospitality"
	hotel       field = "hotel"
	guiding     field = "guiding"
	farming     field = "farming"
	wine        field = "wine"
	haulage     field = "haulage"
	logistics   field = "logistics"
	delivery    field = "delivery"
	nature      field = "nature"
	marine      field = "marine"
)

// company is an invented employer.
type company struct {
	name string
	// about completes "<name> …" as a sentence.
	about  string
	fields []field
	places []string
	domain string
}

var companies = []company{
	{"Lanternfish Pay", "runs the card and wallet payments of four thousand township shops",
		[]field{software, fintech, finance}, []string{"Cape Town", "Johannesburg", "remote in South Africa"}, "lanternfish-pay"},
	{"Tidepool Rooms", "writes the booking software that small guest houses use from the Karoo to the coast",
		[]field{software, design}, []string{"Cape Town", "Stellenbosch", "remote in South Africa"}, "tidepool-rooms"},
	{"Umbrella Thorn Digital", "operates a marketplace where farmers hire out machinery to one another",
		[]field{software, design}, []string{"Stellenbosch", "Pretoria", "Nairobi"}, "umbrellathorn"},
	{"Mistbelt Signals", "turns the readings of water meters into leak alarms for municipalities",
		[]field{software, devices}, []string{"Durban", "Pietermaritzburg", "Cape Town"}, "mistbelt-signals"},
	{"Klipspringer Maps", "plans the daily routes of couriers in eleven African cities",
		[]field{software}, []string{"Johannesburg", "Cape Town", "Accra", "remote"}, "klipspringer-maps"},
	{"Halfpenny Ledger", "makes bookkeeping software for businesses with fewer than ten people",
		[]field{software, fintech, finance}, []string{"London", "Cape Town", "Edinburgh", "remote"}, "halfpenny-ledger"},
	{"Sandgrouse Systems", "builds the control rooms of solar and wind parks",
		[]field{software, devices, energy}, []string{"Stellenbosch", "Berlin", "Upington"}, "sandgrouse"},
	{"Nightjar Audio", "streams radio drama and audiobooks in nine languages",
		[]field{software, audio, design}, []string{"Johannesburg", "Amsterdam", "remote"}, "nightjar-audio"},
	{"Ubhoko Health Records", "keeps patient records for public clinics, online and off",
		[]field{software}, []string{"Durban", "Johannesburg", "Kigali"}, "ubhoko"},
	{"Gletscherspalte Labs", "measures glaciers and dams with small radar stations",
		[]field{software, devices}, []string{"Zürich", "München"}, "gletscherspalte"},
	{"Café Azul Software", "sells point-of-sale systems to bakeries and coffee bars",
		[]field{software, retail}, []string{"Lisbon", "São Paulo", "Bogotá"}, "cafe-azul"},
	{"Pilchard & Moss", "is a software studio that takes on one client at a time",
		[]field{software, design}, []string{"Dublin", "Malmö", "remote"}, "pilchard-moss"},
	{"Kurinji Compute", "rents out batch computing to film and weather services",
		[]field{software}, []string{"Bengaluru", "Singapore", "Tokyo"}, "kurinji"},
	{"Third Harbour Games", "makes slow and quiet puzzle games for phones",
		[]field{software, games, design}, []string{"Cape Town", "Montréal", "Kraków"}, "third-harbour"},
	{"Bitterkaroo Security", "tests the defences of hospitals, ports and banks",
		[]field{security, software}, []string{"Pretoria", "Johannesburg", "London"}, "bitterkaroo"},
	{"Oatfield Insurance Group", "insures small farms, taxis and corner shops",
		[]field{fintech, finance, insurance, law}, []string{"Johannesburg", "Bloemfontein", "Cape Town"}, "oatfield"},
	{"Spekboom Credit Union", "lends to its eighty thousand members, most of them teachers and nurses",
		[]field{fintech, finance, insurance}, []string{"Gqeberha", "East London", "Durban"}, "spekboom-union"},
	{"Quayle, Adeyinka & Partners", "advises family businesses on tax and succession",
		[]field{finance, law}, []string{"Cape Town", "Johannesburg", "London"}, "quayle-adeyinka"},
	{"Blouvlei Actuarial", "prices pensions and medical schemes for employers",
		[]field{insurance, finance}, []string{"Cape Town", "Stellenbosch"}, "blouvlei"},
	{"Marula Street Chambers", "acts for tenants, workers and small traders",
		[]field{law}, []string{"Johannesburg", "Durban", "Mbombela"}, "marula-street"},
	{"Kingfisher Bend Hospital", "is a private hospital with 180 beds and a trauma unit",
		[]field{health, hospital, emergency}, []string{"Pietermaritzburg", "Durban"}, "kingfisher-bend"},
	{"Langebos Clinics", "runs fourteen day clinics in the Cape winelands and on the West Coast",
		[]field{health, births, care}, []string{"Paarl", "Stellenbosch", "Saldanha"}, "langebos"},
	{"Northgate Mother & Child", "delivers two thousand babies a year",
		[]field{health, hospital, births}, []string{"Johannesburg", "Soweto", "Polokwane"}, "northgate-mc"},
	{"Ferrygate Ward Staffing", "places nurses, therapists and pharmacists in British hospitals",
		[]field{health, hospital}, []string{"London", "Edinburgh"}, "ferrygate"},
	{"Hartbees Rehabilitation Centre", "helps people back on their feet after strokes and accidents",
		[]field{health, care}, []string{"Pretoria", "Rustenburg"}, "hartbees-rehab"},
	{"Red Ochre Flying Doctors", "brings doctors and medicine to towns without a hospital",
		[]field{health, emergency}, []string{"Upington", "Windhoek", "Kimberley"}, "redochre-doctors"},
	{"Milkwood Row School", "is an independent school for 900 girls and boys",
		[]field{school}, []string{"Cape Town", "Hermanus"}, "milkwood-row"},
	{"Umlazi Bridge Schools", "runs low-fee schools in which every child reads by the age of nine",
		[]field{school, care}, []string{"Durban", "Soweto", "East London"}, "umlazi-bridge"},
	{"Lindenweg International School", "teaches in English and German from kindergarten to the baccalaureate",
		[]field{school}, []string{"Zürich", "Berlin", "Windhoek"}, "lindenweg"},
	{"Settlers' Hill University", "is a small university known for its sciences and its debating",
		[]field{university, nature}, []string{"Makhanda", "East London"}, "settlershill"},
	{"Berg River Institute of Technology", "trains engineers, winemakers and teachers",
		[]field{university}, []string{"Stellenbosch", "Paarl"}, "bergriver-tech"},
	{"Dassie & Daughters", "designs bridges, culverts and the odd pedestrian tunnel",
		[]field{civil}, []string{"Cape Town", "George", "Gqeberha"}, "dassie-daughters"},
	{"Rift Valley Waterworks", "plans and builds drinking-water plants for growing towns",
		[]field{civil, building}, []string{"Nairobi", "Kigali", "Polokwane"}, "riftvalley-water"},
	{"Suncatcher Electric", "puts solar panels and batteries on houses, schools and cold stores",
		[]field{solar, energy, building}, []string{"Cape Town", "Johannesburg", "George", "Bloemfontein"}, "suncatcher-electric"},
	{"Cape Gannet Wind", "owns nine wind parks between the west and the south coast",
		[]field{wind, energy}, []string{"Saldanha", "Gqeberha", "Cape Town"}, "capegannet-wind"},
	{"Kopje Deep Minerals", "mines chrome and platinum in the Bushveld",
		[]field{mining}, []string{"Rustenburg", "Polokwane"}, "kopje-deep"},
	{"Diamond Coast Exploration", "looks for copper and zinc in the Northern Cape and Namibia",
		[]field{mining, nature}, []string{"Kimberley", "Windhoek", "Perth"}, "diamondcoast-x"},
	{"Ironbark Foundry", "casts pump housings and propellers up to three tonnes",
		[]field{workshop}, []string{"Durban", "Richards Bay", "Melbourne"}, "ironbark-foundry"},
	{"Vuka Coachworks", "refits minibus taxis and builds school buses",
		[]field{workshop}, []string{"Midrand", "Pretoria", "East London"}, "vuka-coachworks"},
	{"Swallowtail Homes", "renovates old houses without pulling out what makes them old",
		[]field{building}, []string{"Cape Town", "Dublin", "Hermanus"}, "swallowtail-homes"},
	{"Harbour Lantern Hotels", "has six hotels of character within earshot of the sea",
		[]field{hospitality, hotel}, []string{"Cape Town", "Durban", "Hermanus", "Lisbon"}, "harbourlantern"},
	{"Marmalade Lane Kitchens", "cooks breakfast and lunch in five neighbourhood restaurants",
		[]field{hospitality}, []string{"Johannesburg", "Cape Town", "Melbourne"}, "marmalade-lane"},
	{"Leadwood Bush Camps", "takes guests on foot into the Lowveld",
		[]field{hospitality, hotel, guiding, nature}, []string{"Mbombela", "Polokwane", "Nairobi"}, "leadwood-camps"},
	{"Vaalwater Oak Estate", "grows chenin blanc and cinsault on forty dry-farmed hectares",
		[]field{wine, hospitality}, []string{"Stellenbosch", "Franschhoek", "Paarl"}, "vaalwater-oak"},
	{"Old Mulberry Cellars", "makes wine for twenty-two growers who own it together",
		[]field{wine}, []string{"Paarl", "Franschhoek"}, "oldmulberry"},
	{"Sunup Citrus Growers", "packs oranges and lemons for shops in thirty countries",
		[]field{farming, haulage, logistics}, []string{"Gqeberha", "Mbombela", "Upington"}, "sunup-citrus"},
	{"Amber Grain Cooperative", "stores, mills and sells the wheat and maize of its members",
		[]field{farming, haulage, logistics}, []string{"Bloemfontein", "Pretoria"}, "ambergrain"},
	{"Longhaul Lourie", "moves fruit, furniture and steel between the ports and the highveld",
		[]field{haulage, logistics}, []string{"Durban", "Johannesburg", "Midrand", "Richards Bay"}, "longhaul-lourie"},
	{"Parcel Weavers", "delivers what people order online, by bicycle where it can",
		[]field{logistics, delivery, retail, software}, []string{"Amsterdam", "Berlin", "Cape Town"}, "parcel-weavers"},
	{"Basket & Bicycle", "has ninety small supermarkets in places where there was none",
		[]field{shop, retail, logistics, delivery}, []string{"Soweto", "Durban", "Polokwane", "Bloemfontein"}, "basket-bicycle"},
	{"Wool & Weather", "sells coats, boots and blankets made to be mended",
		[]field{shop, retail, design}, []string{"Edinburgh", "Portland", "Cape Town"}, "wool-weather"},
	{"Rooster & Ink", "is an agency for brands that would rather be funny than loud",
		[]field{agency, design}, []string{"Johannesburg", "Cape Town", "New York"}, "rooster-ink"},
	{"The Long Street Ledger", "is a reader-funded newspaper about money and power in southern Africa",
		[]field{news, design}, []string{"Cape Town", "remote in South Africa"}, "longstreet-ledger"},
	{"Babel Fisheries", "translates manuals, contracts and films, and is not about fish",
		[]field{translation}, []string{"remote", "Berlin", "São Paulo"}, "babelfisheries"},
	{"Penguin Point Aquarium", "keeps kelp forests, sharks and a hospital for turtles",
		[]field{marine, hospitality}, []string{"Cape Town", "Durban"}, "penguinpoint"},
	{"Fynbos Futures", "clears alien trees and brings back what grew there before",
		[]field{nature}, []string{"George", "Hermanus", "Stellenbosch"}, "fynbos-futures"},
	{"Lit Window Shelters", "gives people a bed tonight and a plan for next month",
		[]field{care}, []string{"Cape Town", "Johannesburg", "Gqeberha"}, "litwindow"},
	{"Blue Crane Dairies", "milks, churns and ripens on three farms between the mountains and the sea",
		[]field{farming, logistics}, []string{"George", "Pietermaritzburg"}, "bluecrane-dairies"},
	{"Barefoot Compass Tours", "shows small groups the country at walking pace",
		[]field{guiding}, []string{"Cape Town", "George", "Windhoek"}, "barefoot-compass"},
}
