//go:build linux && race

package netns

// buildFlags build the command mesh as this binary was built.
var buildFlags = []string{"build", "-race"}
