package main

var mediaProfessions = []profession{
	{
		fields: []field{agency, shop}, ads: 4, desk: true,
		titles: []title{{"Copywriter", 1}, {"Senior Copywriter", 1.4}, {"Content Editor", 1}},
		low:    300, high: 420,
		skills: []string{"copywriting", "editing", "SEO", "storytelling", "proofreading", "Afrikaans"},
		duties: []string{
			"write headlines that survive the client meeting",
			"keep one tone of voice across nine channels",
			"turn product sheets into something people read",
			"cut your own text by a third",
		},
		wants: []string{
			"a portfolio with three pieces that worked",
			"faultless English and a second language for jokes",
			"experience at an agency or in a newsroom",
			"thick skin",
		},
	},
	{
		fields: []field{agency, shop, hotel}, ads: 4, desk: true,
		titles: []title{{"Social Media Manager", 0.9}, {"Digital Marketing Manager", 1.3}, {"Brand Strategist", 1.3}},
		low:    340, high: 480,
		skills: []string{"campaign planning", "social media", "analytics", "SEO", "paid search", "community management"},
		duties: []string{
			"plan campaigns with more ideas than budget",
			"answer comments within the hour and with grace",
			"test two versions and believe the result",
			"report on what was sold rather than what was liked",
		},
		wants: []string{
			"campaigns to your name that can be measured",
			"a feeling for tone and timing",
			"experience with small budgets",
			"thin slides",
		},
	},
	{
		fields: []field{agency, design}, ads: 4, desk: true,
		titles: []title{{"Graphic Designer", 0.9}, {"Senior Graphic Designer", 1.25}, {"Art Director", 1.6}},
		low:    290, high: 410,
		skills: []string{"typography", "InDesign", "branding", "print production", "Figma", "photo editing"},
		duties: []string{
			"give annual reports a reason to be opened",
			"take a brand from sketch to shop sign",
			"stand at the press when the first sheets come out",
			"set long texts so that they look short",
		},
		wants: []string{
			"a portfolio on paper or on screen",
			"strong typography",
			"experience with print as well as pixels",
			"the ability to throw away your first idea",
		},
	},
	{
		fields: []field{agency, games}, ads: 4, desk: true,
		titles: []title{{"Illustrator", 0.9}, {"Motion Designer", 1.1}, {"3D Animator", 1.15}},
		low:    280, high: 400,
		skills: []string{"drawing", "animation", "storyboards", "After Effects", "Blender", "character design"},
		duties: []string{
			"draw the pictures that explain the numbers",
			"animate titles and short films",
			"sketch fast in meetings and finish slowly at your desk",
			"build characters that children recognise by their shadow",
		},
		wants: []string{
			"a reel or sketchbook that is unmistakably yours",
			"a good sense of timing",
			"experience with deadlines and feedback",
		},
	},
	{
		fields: []field{news}, ads: 4, desk: true,
		titles: []title{{"Investigative Journalist", 1.1}, {"Sub-editor", 0.9}, {"Data Journalist", 1.05}},
		low:    330, high: 450,
		skills: []string{"reporting", "editing", "fact checking", "spreadsheets", "interviewing", "media law"},
		duties: []string{
			"follow the money through company registers",
			"check names and numbers and dates twice",
			"write so that a busy reader reaches the last line",
			"answer the letters that a story brings in",
		},
		wants: []string{
			"a body of published work",
			"sources who would speak to you again",
			"independence of mind",
			"knowledge of the courts and their papers",
		},
	},
	{
		fields: []field{translation}, ads: 4, desk: true,
		titles: []title{{"Translator (German–English)", 1}, {"Technical Translator (Portuguese)", 1.05}, {"Subtitler", 0.85}},
		low:    290, high: 390,
		skills: []string{"translation", "terminology", "subtitling", "proofreading", "CAT tools", "localisation"},
		duties: []string{
			"translate manuals so that nobody loses a finger",
			"keep the terminology of forty clients apart",
			"fit jokes into two lines of subtitles",
			"proofread a colleague's work every day",
		},
		wants: []string{
			"perfect command of the language you write in",
			"a degree in translation or a trade that you can write about",
			"experience with translation memories",
			"the honesty to ask the author",
		},
	},
	{
		fields: []field{audio, news}, ads: 3, desk: true,
		titles: []title{{"Audio Producer", 1}, {"Podcast Editor", 0.9}},
		low:    300, high: 410,
		skills: []string{"sound editing", "recording", "storytelling", "interviewing", "mixing"},
		duties: []string{
			"cut interviews down to what was meant",
			"direct actors in a studio the size of a cupboard",
			"record the sounds of streets, stations and kitchens",
			"mix for cheap headphones",
		},
		wants: []string{
			"productions that we can listen to",
			"fine ears",
			"experience with voice recording",
			"calm in front of a red light",
		},
	},
}
