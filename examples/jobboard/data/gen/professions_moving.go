package main

var movingProfessions = []profession{
	{
		fields: []field{haulage}, ads: 5,
		titles: []title{{"Code 14 Truck Driver", 1}, {"Long-haul Driver", 1.1}, {"Refrigerated Truck Driver", 1.05}},
		low:    190, high: 270,
		skills: []string{"Code EC licence", "defensive driving", "load securing", "vehicle inspection", "dangerous goods", "cold chain"},
		duties: []string{
			"take loads between port, farm and highveld",
			"check tyres, lights and straps before every trip",
			"rest when the clock says so",
			"report what is wrong with the vehicle the same day",
		},
		wants: []string{
			"a valid Code EC licence and a professional permit",
			"three years without an accident that was your fault",
			"knowledge of the main corridors",
			"reliability",
		},
	},
	{
		fields: []field{delivery}, ads: 4,
		titles: []title{{"Delivery Driver", 1}, {"Bicycle Courier", 0.85}},
		low:    110, high: 160,
		skills: []string{"route planning", "customer service", "navigation", "vehicle care", "time management"},
		duties: []string{
			"deliver with a word for the person at the gate",
			"find addresses that maps do not know",
			"keep parcels dry and promises kept",
			"look after your bicycle or van as if it were yours",
		},
		wants: []string{
			"a sense of direction",
			"politeness in traffic",
			"good health",
			"a driving licence where the round needs one",
		},
	},
	{
		fields: []field{logistics}, ads: 4,
		titles: []title{{"Warehouse Supervisor", 1}, {"Warehouse Manager", 1.5}, {"Inventory Controller", 0.9}},
		low:    250, high: 350,
		skills: []string{"warehouse management", "stock control", "Excel", "barcode systems", "occupational safety", "cold chain"},
		duties: []string{
			"keep the stock on the screen equal to the stock on the shelf",
			"lead the night shift of fourteen pickers",
			"find shorter ways through the warehouse",
			"investigate every shortage to its end",
		},
		wants: []string{
			"experience in a warehouse",
			"confidence with a stock system",
			"a matric certificate with mathematics",
			"an even temper at four in the morning",
		},
	},
	{
		fields: []field{logistics}, ads: 3,
		titles: []title{{"Forklift Operator", 1}, {"Stock Picker", 0.8}},
		low:    110, high: 160,
		skills: []string{"forklift licence", "load handling", "occupational safety", "stock counting"},
		duties: []string{
			"load and unload eight trucks a shift",
			"stack so that the next shift finds everything",
			"count cycles with the stock team",
			"report bent racks and wet floors at once",
		},
		wants: []string{
			"a valid operator's licence or the will to earn one with us",
			"respect for people on foot",
			"readiness for shift work",
		},
	},
	{
		fields: []field{logistics}, ads: 5, desk: true,
		titles: []title{{"Supply Chain Planner", 1.2}, {"Logistics Coordinator", 0.8}, {"Customs Clearing Agent", 0.9}, {"Fleet Planner", 0.9}},
		low:    320, high: 440,
		skills: []string{"demand planning", "import documentation", "Excel", "incoterms", "route planning", "ERP systems"},
		duties: []string{
			"plan deliveries around shift changes and load shedding",
			"clear containers before they cost storage",
			"tell customers about delays before they ask",
			"compare forwarders by what they do rather than what they say",
		},
		wants: []string{
			"experience with a forwarder or in planning",
			"a diploma in logistics as an advantage",
			"calm on the telephone",
			"spreadsheets that others can read",
		},
	},
}
