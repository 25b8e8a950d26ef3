// Command app is what runs in the pods of the kind tests: a service that says who
// answers (`app serve`), and an open-loop client that prints a line for each
// request (`app load`).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/causeway-mesh/causeway/e2e/echo"
	"github.com/causeway-mesh/causeway/e2e/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want serve or load")
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "load":
		return drive(ctx, args[1:])
	}
	return fmt.Errorf("%q: want serve or load", args[0])
}

// serve answers as CLUSTER/POD_NAME until ctx ends, then lets requests finish.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server := &http.Server{
		Addr: *listen, ReadHeaderTimeout: 10 * time.Second,
		Handler: echo.Handler(os.Getenv("CLUSTER") + "/" + os.Getenv("POD_NAME")),
	}
	context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drive makes a request on a new connection every so often until ctx ends.
func drive(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	url := flags.String("url", "", "what to get")
	every := flags.Duration("every", 20*time.Millisecond, "pause between scheduled moments")
	limit := flags.Duration("timeout", 5*time.Second, "bound of one request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext,
	}}
	var mu sync.Mutex
	recorder := &load.Recorder{
		Every: *every, Timeout: *limit,
		Do: func(ctx context.Context) (string, error) { return get(ctx, client, *url) },
		OnResult: func(r load.Result) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(load.Line(r))
		},
	}
	recorder.Run(ctx)
	return nil
}

// answerBound is the most that an answer may hold, in bytes.
const answerBound = 1 << 10

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBound))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", response.Status)
	}
	return strings.TrimSpace(string(body)), nil
}
