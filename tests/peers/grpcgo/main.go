// grpcgo is the other side of the interop battery: grpc-go as a server and as
// a client of the service grpc.service.echo.Echo (tests/libgrpc/server.c says
// what its methods do).
//
//	grpcgo server [-cert FILE -key FILE] [-age D] [-gzip]
//	grpcgo client [-ca FILE] ADDRESS
//
// The server prints its address; the client a line per test, "ok NAME" or
// "not ok NAME: why".
package main

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
)

const service = "grpc.service.echo.Echo"

// repo is model.ApplicationGitRepository.
type repo struct{ id, remote, branch string }

func (r repo) marshal() []byte {
	var b []byte
	for i, s := range []string{r.id, r.remote, r.branch} {
		if s != "" {
			b = protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType)
			b = protowire.AppendString(b, s)
		}
	}
	return b
}

func unmarshal(b []byte) (r repo, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ != protowire.BytesType || num > 3 {
			return r, fmt.Errorf("not a repo")
		}
		b = b[n:]
		s, n := protowire.ConsumeString(b)
		if n < 0 {
			return r, fmt.Errorf("not a repo")
		}
		b = b[n:]
		switch num {
		case 1:
			r.id = s
		case 2:
			r.remote = s
		case 3:
			r.branch = s
		}
	}
	return r, nil
}

// codec hands messages through as repo, under protobuf's name.
type codec struct{}

func (codec) Name() string { return "proto" }
func (codec) Marshal(v any) ([]byte, error) {
	return v.(*repo).marshal(), nil
}
func (codec) Unmarshal(b []byte, v any) (err error) {
	*v.(*repo), err = unmarshal(b)
	return err
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "server" {
		server(os.Args[2:])
	} else if len(os.Args) > 1 && os.Args[1] == "client" {
		client(os.Args[2:])
	} else {
		fmt.Fprintln(os.Stderr, "usage: grpcgo server|client ...")
		os.Exit(100)
	}
}
