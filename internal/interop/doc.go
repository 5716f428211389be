// Package interop tests mesh against ZeroMQ in other languages: clients, workers
// and brokers in Python and JavaScript, on libzmq, over tcp on 127.0.0.1. The
// workers and clients that speak mesh's extensions are those of examples/python and
// examples/node; the plain ones and the foreign brokers in testdata are written from
// the RFCs.
//
// The tests need Python with pyzmq and Node with the npm package zeromq (see
// examples/python and examples/node). Where these are missing the tests are skipped;
// they fail instead if the environment variable MESH_REQUIRE names the leg "interop".
package interop
