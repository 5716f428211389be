// Command gen writes the job board's data set: the ads and the recruiters who
// posted them. All companies and persons are invented. The result depends on
// nothing but this program, so that running it again changes nothing.
//
//	go run ./gen
//
// writes jobs.json and users.json to the working directory.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// seed was chosen once; another one gives other, equally good ads.
const seed = 1910

func main() {
	dir := flag.String("dir", ".", "the `directory` to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for name, content := range files() {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // a data set is for all to read
			return err
		}
	}
	return nil
}

// files returns the data set by file name.
func files() map[string][]byte {
	d := newDice(seed)
	staff := recruiters(d)
	return map[string][]byte{
		"users.json": encode(users(staff)),
		"jobs.json":  encode(ads(d, staff)),
	}
}

// encode writes v with one member a line, so that a change can be reviewed.
func encode(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // structs of strings and numbers always encode
	}
	return append(b, '\n')
}
