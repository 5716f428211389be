package user

// User is a person who has an account with the job board. All of them are
// recruiters, as the board has no accounts for applicants.
type User struct {
	// ID names the user: "user-0007".
	ID string `json:"id"`
	// Name is the full name as the user writes it.
	Name string `json:"name"`
	// Company is the employer on whose behalf the user posts ads.
	Company string `json:"company"`
	// Role is the user's position there.
	Role string `json:"role"`
	// Email is where applications go.
	Email string `json:"email"`
	// City is where the user works.
	City string `json:"city"`
	// Languages are those in which the user reads applications.
	Languages []string `json:"languages"`
	// Joined is the day on which the account was opened: "2024-03-18".
	Joined string `json:"joined"`
}
