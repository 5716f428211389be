package main

var schoolProfessions = []profession{
	{
		fields: []field{school}, ads: 8,
		titles: []title{{"Mathematics Teacher", 1}, {"Physical Sciences Teacher", 1}, {"English Teacher", 0.95}, {"Music Teacher", 0.9}, {"Head of Mathematics", 1.4}},
		low:    300, high: 420,
		skills: []string{"lesson planning", "classroom management", "assessment", "matric preparation", "extramural activities", "remedial teaching"},
		duties: []string{
			"teach grades eight to twelve in classes of at most twenty-five",
			"prepare the matric class without teaching to the test",
			"coach a team or lead a club in the afternoon",
			"write reports that parents recognise their child in",
			"plan the year together with the other teachers of your subject",
		},
		wants: []string{
			"a teaching qualification and registration with the educators' council",
			"real joy in your subject",
			"experience with mixed abilities",
			"a sense of humour before eight in the morning",
		},
	},
	{
		fields: []field{school}, ads: 5,
		titles: []title{{"Foundation Phase Teacher", 1}, {"Primary School Teacher", 1}, {"Early Childhood Practitioner", 0.6}},
		low:    270, high: 370,
		skills: []string{"phonics", "literacy", "child development", "classroom management", "parent communication", "play-based learning"},
		duties: []string{
			"teach thirty children to read and to like it",
			"see early who needs glasses, breakfast or a quiet talk",
			"plan themes together with the other classes of the grade",
			"keep parents in the picture in their own language",
		},
		wants: []string{
			"a bachelor's degree in education",
			"fluency in an African language as an advantage",
			"a clear police record check",
			"imagination and endurance",
		},
	},
	{
		fields: []field{university}, ads: 5,
		titles: []title{{"Lecturer in Computer Science", 1.05}, {"Senior Lecturer in Statistics", 1.3}, {"Lecturer in Oenology", 1}, {"Professor of Zoology", 1.8}},
		low:    480, high: 640,
		skills: []string{"lecturing", "research", "supervision", "academic writing", "grant applications", "statistics"},
		duties: []string{
			"teach first-years in large halls and honours students in small rooms",
			"supervise theses from the first question to the last comma",
			"keep your own research alive and published",
			"write grant applications with colleagues abroad",
		},
		wants: []string{
			"a doctorate or one close to submission",
			"publications that you would still sign",
			"teaching experience at a university",
			"curiosity outside your own department",
		},
	},
	{
		fields: []field{university, school}, ads: 3,
		titles: []title{{"Librarian", 1}, {"Archivist", 1.05}, {"School Librarian", 0.85}},
		low:    250, high: 350,
		skills: []string{"cataloguing", "information literacy", "digital archives", "reference work", "collection management"},
		duties: []string{
			"help people find what they did not know to ask for",
			"move a card catalogue of forty thousand titles into this century",
			"run reading hours for the youngest",
			"rescue photographs from damp boxes",
		},
		wants: []string{
			"a degree in library or information science",
			"experience with library systems",
			"a firm opinion on overdue fines",
			"care for paper and for people",
		},
	},
}
