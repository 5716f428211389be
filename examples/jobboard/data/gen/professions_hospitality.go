package main

var hospitalityProfessions = []profession{
	{
		fields: []field{hospitality}, ads: 6,
		titles: []title{{"Chef de Partie", 0.8}, {"Sous Chef", 1.1}, {"Head Chef", 1.6}},
		low:    190, high: 280,
		skills: []string{"menu planning", "grill", "food safety", "stock control", "vegetarian cooking", "sauces"},
		duties: []string{
			"cook with what the boats and the farmers bring that morning",
			"run the dinner service for a full house",
			"change the menu with the month",
			"teach two learners from the hotel school",
			"keep food costs and tempers low",
		},
		wants: []string{
			"a professional kitchen qualification",
			"two years in a busy kitchen",
			"clean habits and sharp knives",
			"a good palate for vegetables",
		},
	},
	{
		fields: []field{hospitality}, ads: 3,
		titles: []title{{"Pastry Chef", 1}, {"Baker", 0.8}},
		low:    180, high: 260,
		skills: []string{"pastry", "sourdough", "lamination", "chocolate work", "food safety"},
		duties: []string{
			"bake bread that guests ask the name of",
			"fill the cake counter before the first coffee",
			"invent one dessert a month",
			"order flour, butter and fruit with foresight",
		},
		wants: []string{
			"training as a pastry cook or baker",
			"cheerfulness at four in the morning",
			"feeling for dough",
			"exact scales and a free hand",
		},
	},
	{
		fields: []field{hotel}, ads: 5,
		titles: []title{{"Front Office Manager", 1.4}, {"Hotel Receptionist", 0.8}, {"Guest Relations Officer", 1}},
		low:    190, high: 270,
		skills: []string{"guest relations", "reservations", "foreign languages", "night audit", "cash handling", "rostering"},
		duties: []string{
			"welcome guests as if they had been here before",
			"solve what went wrong before it reaches a review",
			"sell the room with the better view",
			"balance the day's takings",
		},
		wants: []string{
			"experience at a hotel desk",
			"English and at least one more language",
			"composure when the bus arrives early",
			"a tidy appearance",
		},
	},
	{
		fields: []field{hospitality}, ads: 5,
		titles: []title{{"Barista", 1}, {"Waiter", 0.9}, {"Head Barista", 1.3}},
		low:    95, high: 140,
		skills: []string{"latte art", "table service", "cash handling", "menu knowledge", "espresso machines"},
		duties: []string{
			"look after your tables and your regulars",
			"carry three plates and one conversation",
			"keep the coffee bar spotless",
			"recommend what you would order yourself",
		},
		wants: []string{
			"a year in a café or restaurant",
			"speed without hurry",
			"readiness to work weekends",
			"a good memory",
		},
	},
	{
		fields: []field{hotel}, ads: 4,
		titles: []title{{"Restaurant Manager", 1.1}, {"Housekeeping Manager", 0.9}, {"Duty Manager", 1}},
		low:    260, high: 370,
		skills: []string{"rostering", "budgeting", "guest relations", "food safety", "staff training", "stock control"},
		duties: []string{
			"roster a team of eighteen fairly",
			"train the young people who join each summer",
			"walk through every room before the guests do",
			"keep an eye on costs without counting sugar cubes",
		},
		wants: []string{
			"three years of leading a team in hospitality",
			"composure on a Saturday night",
			"a diploma in hotel management as an advantage",
			"an apology that sounds meant",
		},
	},
	{
		fields: []field{guiding}, ads: 4,
		titles: []title{{"Trails Guide", 1}, {"Field Guide", 0.9}, {"Tour Guide", 0.8}},
		low:    170, high: 260,
		skills: []string{"natural history", "birding", "first aid", "guest relations", "4x4 driving", "storytelling"},
		duties: []string{
			"lead guests on foot and bring them back with stories",
			"explain how kelp, fynbos or bushveld hangs together",
			"keep vehicles and radios in order",
			"host dinner at the long table",
		},
		wants: []string{
			"a registered guide's qualification",
			"a current first aid certificate",
			"a professional driving permit",
			"good company over six days",
		},
	},
}
