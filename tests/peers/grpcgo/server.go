package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var gzipped bool

func unary(ctx context.Context, name string, r repo) (*repo, error) {
	n, _ := strconv.Atoi(r.remote)
	if gzipped {
		grpc.SetSendCompressor(ctx, "gzip")
	}
	switch name {
	case "Fail":
		return nil, status.Error(codes.Code(n), r.branch)
	case "Slow":
		select {
		case <-time.After(time.Duration(n) * time.Millisecond):
		case <-ctx.Done():
			fmt.Println("gone Slow")
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	case "Big":
		r.branch = strings.Repeat("x", n)
	case "Header":
		md, _ := metadata.FromIncomingContext(ctx)
		v := strings.Join(md.Get(r.remote), ",")
		grpc.SetHeader(ctx, metadata.Pairs("x-head", v))
		grpc.SetTrailer(ctx, metadata.Pairs("x-echo", v))
		r.remote = v
	}
	return &r, nil
}

func count(name string, s grpc.ServerStream) error {
	var r repo
	if err := s.RecvMsg(&r); err != nil {
		return err
	}
	n, _ := strconv.Atoi(r.remote)
	for i := 1; i <= n; i++ {
		r.id = strconv.Itoa(i)
		if err := s.SendMsg(&r); err != nil {
			return err
		}
	}
	if name == "CountFail" {
		return status.Errorf(codes.FailedPrecondition, "counted to %d", n)
	}
	return nil
}

func server(args []string) {
	f := flag.NewFlagSet("server", flag.ExitOnError)
	cert := f.String("cert", "", "")
	key := f.String("key", "", "")
	listen := f.String("listen", "127.0.0.1:0", "")
	age := f.Duration("age", 0, "GOAWAY after so long")
	f.BoolVar(&gzipped, "gzip", false, "")
	f.Parse(args)
	opts := []grpc.ServerOption{grpc.ForceServerCodec(codec{})}
	if *cert != "" {
		c, err := credentials.NewServerTLSFromFile(*cert, *key)
		die(err)
		opts = append(opts, grpc.Creds(c))
	}
	if *age != 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: *age, MaxConnectionAgeGrace: 5 * time.Second}))
	}
	desc := &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)}
	for _, name := range []string{"Echo", "Get", "Fail", "Slow", "Header", "Big"} {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var r repo
				if err := dec(&r); err != nil {
					return nil, err
				}
				return unary(ctx, name, r)
			}})
	}
	for _, name := range []string{"Count", "CountFail"} {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return count(name, s) }})
	}
	s := grpc.NewServer(opts...)
	s.RegisterService(desc, struct{}{})
	l, err := net.Listen("tcp", *listen)
	die(err)
	fmt.Println("g", l.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; s.GracefulStop() }()
	die(s.Serve(l))
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcgo:", err)
		os.Exit(111)
	}
}
