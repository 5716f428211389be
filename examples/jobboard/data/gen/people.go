package main

// The recruiters' names are put together from these lists, so that none of them
// is anybody in particular.
var givenNames = []string{
	"Naledi", "Thabo", "Ayesha", "Pieter", "Zanele", "Liam", "Nomvula", "Ruan", "Fatima", "Sipho",
	"Chloë", "Tendai", "Anneke", "Kagiso", "Priya", "Bongani", "Ingrid", "Mandla", "Sofia", "Johan",
	"Lerato", "Yusuf", "Marike", "Themba", "Grace", "Rajesh", "Busisiwe", "Étienne", "Nokuthula", "Duncan",
	"Amahle", "Lwazi", "Hanneli", "Refilwe", "Tariq", "Élise", "Mpho", "Werner", "Palesa", "Nikhil",
	"Siobhán", "Kwame", "Thandeka", "Gerhard", "Leila", "Oyama", "Renate", "Siyabonga", "Mónica", "Anil",
	"Karabo", "Jürgen", "Noluthando", "Bram", "Zodwa", "Matthew", "Inês",
}

var familyNames = []string{
	"Hlophe", "van Wyngaard", "Ndabeni", "Petersen", "Moraka", "Abrahamse", "Khuzwayo", "Olckers", "Ganief", "Mabandla",
	"Fourie-Smit", "Chikowore", "Terblans", "Molapisi", "Nagiah", "Zwane-Cele", "Lindqvist", "Sithebe", "Duarte", "Kriegler",
	"Tshabangu", "Cassiem", "Bezuidt", "Mkhatshwa", "Okonjo-Bell", "Pillai-Roux", "Nyembe", "Labuschaigne", "Gcaba", "McAlinden",
	"Ngcukana", "Dlodlo", "Swanepoelen", "Modisane", "Solomons", "Marchand", "Sekgala", "Oberholtz", "Mofokane", "Veeran",
	"O'Dowda", "Asante-Hill", "Msweli", "Kleinhansen", "Parkar", "Fihlani", "Brandvold", "Mtolo", "Salazar", "Deshmane",
	"Tlhapi", "Weissgerb", "Madlala", "Hoekstrand", "Xabanisa", "Fairweather", "Carvalhal",
}

var recruiterRoles = []string{
	"Recruiter", "Talent Partner", "Head of People", "Human Resources Officer", "Hiring Manager",
}

// languages are the spoken languages by country, the most common first.
var languages = map[string][]string{
	"South Africa":   {"English", "Afrikaans", "isiXhosa", "isiZulu", "Sesotho", "Setswana"},
	"Namibia":        {"English", "Afrikaans", "Oshiwambo", "German"},
	"Kenya":          {"English", "Kiswahili"},
	"Ghana":          {"English", "Twi"},
	"United Kingdom": {"English", "Welsh"},
	"Ireland":        {"English", "Irish"},
	"Germany":        {"German", "English"},
	"Netherlands":    {"Dutch", "English"},
	"Portugal":       {"Portuguese", "English"},
	"Switzerland":    {"German", "French", "English"},
	"India":          {"English", "Kannada", "Hindi"},
}
