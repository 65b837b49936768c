package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var conn *grpc.ClientConn

func call(ctx context.Context, method string, r repo, opts ...grpc.CallOption) (repo, error) {
	var out repo
	if !strings.HasPrefix(method, "/") {
		method = "/" + service + "/" + method
	}
	err := conn.Invoke(ctx, method, &r, &out, opts...)
	return out, err
}

func stream(ctx context.Context, method string, r repo) (grpc.ClientStream, error) {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+service+"/"+method)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(&r); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

// wants is nil when err has the code and, where it says something, the text.
func wants(err error, code codes.Code, text string) error {
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		return fmt.Errorf("%v, wanted %v %q", err, code, text)
	}
	return nil
}

func same(got, want any) error {
	if got != want {
		return fmt.Errorf("got %.100v, wanted %.100v", got, want)
	}
	return nil
}

type test struct {
	name string
	run  func(ctx context.Context) error
}

var tests = []test{
	{"unary", func(ctx context.Context) error {
		r := repo{"a", "b", "c"}
		out, err := call(ctx, "Get", r)
		if err != nil {
			return err
		}
		return same(out, r)
	}},
	{"empty message", func(ctx context.Context) error {
		out, err := call(ctx, "Echo", repo{})
		if err != nil {
			return err
		}
		return same(out, repo{})
	}},
	{"the older prefix", func(ctx context.Context) error {
		out, err := call(ctx, "/pipe.api.service.echo.Echo/Get", repo{"a", "", ""})
		if err != nil {
			return err
		}
		return same(out.id, "a")
	}},
	{"metadata", func(ctx context.Context) error {
		var trailer metadata.MD
		ctx = metadata.AppendToOutgoingContext(ctx, "x-mine", "value 1")
		out, err := call(ctx, "Header", repo{"a", "x-mine", ""}, grpc.Trailer(&trailer))
		if err != nil {
			return err
		}
		if err := same(out.remote, "value 1"); err != nil {
			return err
		}
		return same(strings.Join(trailer.Get("x-echo"), ","), "value 1")
	}},
	{"UTF-8 status text", func(ctx context.Context) error {
		_, err := call(ctx, "Fail", repo{"a", "5", "gibt's nicht: ü 漢 100%\n"})
		return wants(err, codes.NotFound, "gibt's nicht: ü 漢 100%\n")
	}},
	{"every status", func(ctx context.Context) error {
		for i := 1; i <= 16; i++ {
			_, err := call(ctx, "Fail", repo{"a", strconv.Itoa(i), "text"})
			if err := wants(err, codes.Code(i), "text"); err != nil {
				return err
			}
		}
		return nil
	}},
	{"unimplemented", func(ctx context.Context) error {
		_, err := call(ctx, "Nope", repo{})
		return wants(err, codes.Unimplemented, "Nope")
	}},
	{"deadline", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := call(ctx, "Slow", repo{"a", "10000", ""})
		return wants(err, codes.DeadlineExceeded, "")
	}},
	{"cancel", func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := call(ctx, "Slow", repo{"a", "10000", ""})
		return wants(err, codes.Canceled, "")
	}},
	{"more than 4 MiB is refused", func(ctx context.Context) error {
		_, err := call(ctx, "Echo", repo{"a", "", strings.Repeat("x", 5<<20)})
		return wants(err, codes.ResourceExhausted, "")
	}},
	{"3 MiB there and back", func(ctx context.Context) error {
		big := strings.Repeat("x", 3<<20)
		out, err := call(ctx, "Get", repo{"a", "", big})
		if err != nil {
			return err
		}
		return same(out.branch, big)
	}},
	{"gzip", func(ctx context.Context) error {
		r := repo{"a", "", strings.Repeat("zip", 100000)}
		out, err := call(ctx, "Get", r, grpc.UseCompressor(gzip.Name))
		if err != nil {
			return err
		}
		return same(out, r)
	}},
	{"a gzip bomb is refused", func(ctx context.Context) error {
		_, err := call(ctx, "Get", repo{"a", "", strings.Repeat("\x01", 64<<20)}, grpc.UseCompressor(gzip.Name))
		return wants(err, codes.ResourceExhausted, "")
	}},
	{"what is no UTF-8 is refused", func(ctx context.Context) error {
		_, err := call(ctx, "Get", repo{"a\xff", "", ""})
		return wants(err, codes.InvalidArgument, "UTF-8")
	}},
	{"a stream of 10000", func(ctx context.Context) error {
		return counted(ctx, "Count", 10000, "", nil)
	}},
	{"a stream, then an error", func(ctx context.Context) error {
		return counted(ctx, "CountFail", 3, "", func(err error) error {
			return wants(err, codes.FailedPrecondition, "counted to 3")
		})
	}},
	{"an empty stream", func(ctx context.Context) error {
		return counted(ctx, "Count", 0, "", nil)
	}},
	{"a slow reader of 64 MiB", func(ctx context.Context) error {
		return counted(ctx, "Count", 64, strings.Repeat("x", 1<<20), nil)
	}},
	{"a stream that is left", func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := stream(ctx, "Count", repo{"", "1000000", "x"})
		if err != nil {
			return err
		}
		return s.RecvMsg(new(repo))
	}},
	{"300 at once", func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make(chan error, 300)
		for i := 0; i < 300; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				id := strconv.Itoa(i)
				out, err := call(ctx, "Slow", repo{id, "50", ""})
				if err == nil {
					err = same(out.id, id)
				}
				if err != nil {
					errs <- err
				}
			}()
		}
		wg.Wait()
		close(errs)
		return <-errs
	}},
	{"100 kB of metadata are refused", func(ctx context.Context) error {
		c := metadata.AppendToOutgoingContext(ctx, "x-big", strings.Repeat("v", 100000))
		if _, err := call(c, "Get", repo{"a", "", ""}); err == nil {
			return fmt.Errorf("accepted")
		}
		_, err := call(ctx, "Get", repo{"a", "", ""})
		return err
	}},
	{"20 kB of metadata are refused by name", func(ctx context.Context) error {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-big", strings.Repeat("v", 20000))
		_, err := call(ctx, "Get", repo{"a", "", ""})
		if status.Code(err) == codes.Internal {
			// grpc-go looks at our SETTINGS and does not even send it.
			return nil
		}
		return wants(err, codes.ResourceExhausted, "")
	}},
}

func counted(ctx context.Context, method string, n int, branch string, end func(error) error) error {
	s, err := stream(ctx, method, repo{"", strconv.Itoa(n), branch})
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		var r repo
		err := s.RecvMsg(&r)
		if err == io.EOF && end == nil {
			return same(i, n+1)
		}
		if err != nil && end != nil {
			return end(err)
		}
		if err != nil {
			return err
		}
		if err := same(r.id, strconv.Itoa(i)); err != nil {
			return err
		}
		if branch != "" {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func client(args []string) {
	f := flag.NewFlagSet("client", flag.ExitOnError)
	ca := f.String("ca", "", "")
	hold := f.Bool("hold", false, "call until stdin ends, over whatever GOAWAYs")
	f.Parse(args)
	creds := insecure.NewCredentials()
	if *ca != "" {
		c, err := credentials.NewClientTLSFromFile(*ca, "localhost")
		die(err)
		creds = c
	}
	var err error
	conn, err = grpc.NewClient("passthrough:///"+f.Arg(0), grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	die(err)
	if *hold {
		holding()
		return
	}
	failed := 0
	for _, t := range tests {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := t.run(ctx); err != nil {
			failed++
			fmt.Printf("not ok %s: %v\n", t.name, err)
		} else {
			fmt.Println("ok", t.name)
		}
		cancel()
	}
	if conn.GetState() != connectivity.Ready {
		fmt.Println("not ok the connection is", conn.GetState())
		failed++
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// holding makes one call after the other; a line per change.
func holding() {
	end := make(chan bool)
	go func() { io.Copy(io.Discard, os.Stdin); close(end) }()
	last := "?"
	for n := 0; ; n++ {
		select {
		case <-end:
			fmt.Println("calls", n)
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := call(ctx, "Slow", repo{"a", "20", ""}, grpc.WaitForReady(true))
		cancel()
		if now := status.Code(err).String(); now != last {
			fmt.Println(now, err)
			last = now
		}
	}
}
