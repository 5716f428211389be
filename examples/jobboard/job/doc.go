// Package job is the job board's job service: it keeps the ads. To show one it
// asks the user service who posted it.
package job
