// Package curve has the keys of CURVE (RFC 26), the mechanism by which ZeroMQ's peers
// prove who they are and encrypt what they send: public and secret keys, their text
// in Z85 (RFC 32), and the certificate files of CZMQ's tools. What is done with keys
// is for the transports.
//
// No error, no verb of fmt and no encoder shows a secret key.
package curve
