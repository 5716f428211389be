package mdp

import "strconv"

// MMIPrefix begins the name of every service that a broker answers itself, by the
// Majordomo Management Interface (RFC 8).
const MMIPrefix = "mmi."

// The broker's own services. RFC 8 defines MMIService; the others are mesh's, and
// a broker without them answers [StatusNotImplemented].
const (
	// MMIService asks whether a service has workers; the body is its name.
	MMIService = "mmi.service"
	// MMIServices asks for the services with their contracts.
	MMIServices = "mmi.services"
	// MMIStatus asks for a snapshot of the broker.
	MMIStatus = "mmi.status"
	// MMIPing asks for a sign of life.
	MMIPing = "mmi.ping"
	// MMIRegister is a worker's registration.
	MMIRegister = "mmi.register"
	// MMICancel cancels a request of the asker's, or by serial number any.
	MMICancel = "mmi.cancel"
	// MMICredit lets a stream of the asker's go on.
	MMICredit = "mmi.credit"

	// MMIPause stops handing over the requests of a service.
	MMIPause = "mmi.pause"
	// MMIResume ends a pause.
	MMIResume = "mmi.resume"
	// MMIDrain hands a worker nothing new.
	MMIDrain = "mmi.drain"
	// MMIDisconnect disconnects a worker.
	MMIDisconnect = "mmi.disconnect"
	// MMIRelease runs a quarantined request.
	MMIRelease = "mmi.release"
	// MMIDrop drops a quarantined request.
	MMIDrop = "mmi.drop"
)

// The status codes of RFC 8, and those that mesh adds in its manner. A broker
// answers with one of them as the only frame of the body where the request wasn't
// JSON-RPC.
const (
	StatusOK             = 200 // the service has a worker; the command was carried out
	StatusBadRequest     = 400 // the body of the request can't be understood
	StatusForbidden      = 403 // the asker may not do this
	StatusNotFound       = 404 // the service has no worker; there is no such thing
	StatusInternal       = 500 // the broker failed
	StatusNotImplemented = 501 // the broker has no such MMI service
)

var (
	statusOK             = []byte{'2', '0', '0'}
	statusBadRequest     = []byte{'4', '0', '0'}
	statusForbidden      = []byte{'4', '0', '3'}
	statusNotFound       = []byte{'4', '0', '4'}
	statusInternal       = []byte{'5', '0', '0'}
	statusNotImplemented = []byte{'5', '0', '1'}
)

// StatusBody returns the code as the frame of a body: three ASCII digits (RFC 8).
// For the codes above the frame is shared and must not be written to; for others
// it is new. It panics unless the code is from 0 to 999.
func StatusBody(code int) []byte {
	switch code {
	case StatusOK:
		return statusOK
	case StatusBadRequest:
		return statusBadRequest
	case StatusForbidden:
		return statusForbidden
	case StatusNotFound:
		return statusNotFound
	case StatusInternal:
		return statusInternal
	case StatusNotImplemented:
		return statusNotImplemented
	}
	if code < 0 || code > 999 {
		panic("mdp: status code " + strconv.Itoa(code) + " doesn't have three digits")
	}
	return []byte{'0' + byte(code/100), '0' + byte(code/10%10), '0' + byte(code%10)}
}

// ParseStatus reads a frame of exactly three ASCII digits. It reports false for
// anything else.
func ParseStatus(body []byte) (code int, ok bool) {
	if len(body) != 3 {
		return 0, false
	}
	for _, c := range body {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, true
}
