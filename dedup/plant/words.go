package plant

var negatable = []string{"is", "are", "was", "were", "can", "will", "should", "could", "would", "must", "may", "has"}

var contractions = [][2]string{{"do not", "don't"}, {"does not", "doesn't"}, {"it is", "it's"}, {"cannot", "can't"}, {"is not", "isn't"},
	{"are not", "aren't"}, {"you are", "you're"}, {"will not", "won't"}, {"I am", "I'm"}, {"they are", "they're"}}

var names = []string{"Alice", "Boris", "Carmen", "Dmitri", "Elena", "Farid", "Greta", "Hiro", "Ines", "Jamal", "Keiko", "Lars", "Maya", "Nadia",
	"Oscar", "Priya", "Quentin", "Rosa", "Stefan", "Tariq", "Paris", "Lima", "Oslo", "Cairo", "Delhi", "Quito", "Lyon", "Porto", "Kyoto", "Austin",
	"Dublin", "Turin", "Rome", "Accra", "Hanoi", "Tunis", "France", "Peru", "Norway", "Egypt", "India", "Ecuador", "Japan", "Ireland", "Italy", "Ghana",
	"Mercury", "Venus", "Mars", "Saturn", "Neptune", "Python", "Java", "Rust", "Fortran", "Newton", "Darwin", "Curie", "Galileo", "Tesla"}

var synonyms = [][2]string{{"big", "large"}, {"small", "little"}, {"quick", "fast"}, {"begin", "start"}, {"help", "assist"}, {"buy", "purchase"},
	{"house", "home"}, {"important", "significant"}, {"show", "demonstrate"}, {"use", "employ"}, {"need", "require"}, {"often", "frequently"},
	{"people", "persons"}, {"make", "create"}, {"problem", "issue"}, {"answer", "reply"}, {"simple", "easy"}, {"explain", "clarify"},
	{"choose", "select"}, {"near", "close"}, {"happy", "glad"}, {"car", "automobile"}, {"street", "road"}, {"job", "work"}, {"child", "kid"},
	{"doctor", "physician"}, {"error", "mistake"}, {"idea", "notion"}, {"keep", "retain"}, {"finish", "complete"}, {"maybe", "perhaps"},
	{"sick", "ill"}, {"story", "tale"}, {"gift", "present"}, {"trip", "journey"}, {"whole", "entire"}, {"rich", "wealthy"}, {"shut", "closed"},
	{"quiet", "silent"}, {"smart", "clever"}, {"town", "city"}, {"ship", "boat"}, {"picture", "image"}, {"rule", "regulation"}, {"goal", "aim"},
	{"garden", "yard"}, {"stone", "rock"}, {"price", "cost"}, {"method", "approach"}, {"result", "outcome"}}

var opposites = [][2]string{{"increase", "decrease"}, {"hot", "cold"}, {"before", "after"}, {"always", "never"}, {"rich", "poor"}, {"open", "closed"},
	{"early", "late"}, {"true", "false"}, {"cheap", "expensive"}, {"more", "less"}, {"safe", "dangerous"}, {"above", "below"}, {"first", "last"},
	{"big", "small"}, {"easy", "hard"}, {"buy", "sell"}, {"strong", "weak"}, {"left", "right"}, {"north", "south"}, {"fast", "slow"},
	{"maximum", "minimum"}, {"inside", "outside"}, {"win", "lose"}, {"happy", "sad"}}

var nouns = []string{"garden", "engine", "report", "recipe", "bridge", "novel", "contract", "battery", "school", "vaccine", "festival", "orchestra", "harbor",
	"theorem", "invoice", "telescope", "bakery", "library", "railway", "forest", "museum", "compiler", "satellite", "budget", "violin", "glacier",
	"hospital", "newspaper", "camera", "kitchen", "river", "election", "marathon", "painting", "server", "winter", "market", "island", "teacher",
	"machine", "problem", "story", "house", "car", "street", "doctor", "picture", "price", "method", "result", "trip", "rule", "town", "ship"}

var adjectives = []string{"old", "modern", "quiet", "narrow", "public", "private", "wooden", "digital", "annual", "local", "famous", "simple", "complex",
	"reliable", "fragile", "colorful", "ancient", "popular", "rare", "big", "small", "important", "smart", "happy", "cheap", "expensive", "safe",
	"strong", "hot", "cold", "early", "late", "open", "rich", "whole", "easy"}

var verbs = []string{"repair", "describe", "visit", "measure", "translate", "paint", "record", "plan", "compare", "protect", "improve", "test", "sell",
	"design", "explain", "choose", "keep", "finish", "begin", "use", "buy", "show", "make", "increase", "decrease", "help"}

var adverbs = []string{"carefully", "slowly", "often", "rarely", "always", "never", "quickly", "together", "twice", "later", "before", "after", "alone", "again"}

// frames are sentences with slots: N noun, A adjective, V verb, D adverb, P name, # number.
var frames = []string{
	"The A N in P was built in # and is A .", "P will V the A N before the N is A .", "To V a N you need # A N and one N .",
	"It is important to V the N D because the N can V it .", "In # P and P could V the N for # dollars .", "Why should people V the A N near P ?",
	"Most people D V the N when the N is A .", "The result was A , but the N of P is not A .", "First V the N , then V the A N D .",
	"A A N should have # N and at least # N .", "P has a A N that can V the N D .", "How can I V my N when the A N is A ?",
	"The price of the N was # dollars in P and # dollars in P .", "You must V the N # times , and the N will V itself .",
	"There are # A N inside the N , and they are D A .", "P wrote that the A N would V more N than the N .", "If the N is A , use the N and V it D .",
	"I would like to V a N about the A N of P .", "The method needs # minutes , a A N and some N .", "Never V the N before you V the A N of the N ."}
