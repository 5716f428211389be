package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const grpcMethod = "/bench.Echo/Echo"

// grpcEcho describes a service of one method from bytes to bytes, as protoc
// would generate it.
var grpcEcho = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.BytesValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			return in, nil
		},
	}},
}

func grpcServe(ctx context.Context, listener net.Listener) {
	s := grpc.NewServer()
	s.RegisterService(&grpcEcho, nil)
	context.AfterFunc(ctx, s.Stop)
	go complain(ctx, func() error { return s.Serve(listener) })
}

func grpcWorker(ctx context.Context, _ setting) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	grpcServe(ctx, listener)
	return listener.Addr().String(), nil
}

func grpcClient(ctx context.Context, s setting) ([]connection, error) {
	return grpcClients(ctx, s.Address, s.Clients)
}

// grpcAlone runs everything in one process.
func grpcAlone(ctx context.Context, s setting) ([]connection, error) {
	listener := bufconn.Listen(1 << 20)
	grpcServe(ctx, listener)
	return grpcClients(ctx, "passthrough:///bench", s.Clients,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
}

func grpcClients(ctx context.Context, address string, n int, options ...grpc.DialOption) ([]connection, error) {
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	out := make([]connection, n)
	for i := range out {
		c, err := grpc.NewClient(address, options...)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = c.Close() })
		out[i] = func(size int) func() error {
			in := wrapperspb.Bytes(payload(size))
			return func() error {
				result := new(wrapperspb.BytesValue)
				if err := c.Invoke(ctx, grpcMethod, in, result); err != nil {
					return err
				}
				return checkSize(len(result.GetValue()), size)
			}
		}
	}
	return out, nil
}
