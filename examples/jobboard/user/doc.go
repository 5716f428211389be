// Package user is the job board's user service: it knows the recruiters. It
// depends on no other service.
package user
