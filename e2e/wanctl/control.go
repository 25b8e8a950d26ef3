package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/script"
)

// Bounds of the control socket: one line in, one line out, one peer at a time.
const (
	maxLine        = 4096
	controlTimeout = 5 * time.Second
)

// statsWord asks for the state instead of making a change.
const statsWord = "stats"

// answer is the one line that comes back.
type answer struct {
	Error      string       `json:"error,omitempty"`
	Directions []wan.Status `json:"directions,omitempty"`
	Strange    uint64       `json:"strange"`
}

// listen takes the socket, from a dead predecessor too. Only its owner may use it.
func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("a network is running already: %s answers", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for changes: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("keeping others off %s: %w", path, err)
	}
	return l, nil
}

// serve answers until ctx ends.
func serve(ctx context.Context, l net.Listener, w *wan.WAN) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("accepting on the control socket: %w", err)
		}
		_ = conn.SetDeadline(time.Now().Add(controlTimeout))
		line, _ := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
		_ = json.NewEncoder(conn).Encode(reply(w, strings.TrimSpace(line)))
		conn.Close()
	}
}

func reply(w *wan.WAN, line string) answer {
	if line == statsWord {
		return answer{Directions: w.Status(), Strange: w.Strange()}
	}
	c, err := script.ParseChange(line)
	if err == nil {
		err = w.Apply(c)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{}
}

// ask sends one line to the running network.
func ask(ctx context.Context, socket, line string) (a answer, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return a, fmt.Errorf("no network is running: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlTimeout))
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return a, err
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func setCommand(socket *string) *cobra.Command {
	return &cobra.Command{
		Use: "set CHANGE", Short: "Change the running network", Args: cobra.MinimumNArgs(1),
		Example: "  causeway-wan set 'us-east>eu-west loss 20% burst 4'\n  causeway-wan set 'us-east<>* down'",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := ask(cmd.Context(), *socket, strings.Join(args, " "))
			return err
		},
	}
}

func statsCommand(socket *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "stats", Short: "Show settings and counters of every direction", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := ask(cmd.Context(), *socket, statsWord)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
			}
			return table(cmd.OutOrStdout(), a)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func table(out io.Writer, a answer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DIRECTION\tDELAY\tJITTER\tLOSS\tRATE\tDOWN\tPACKETS\tBYTES\tLOST\tREFUSED\tSWALLOWED\tREORDERED\tDUPLICATED\tUNDER WAY")
	for _, d := range a.Directions {
		s, c := d.Settings, d.Counters
		fmt.Fprintf(w, "%s\t%s\t%s\t%.3g%%\t%d\t%t\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", d.Direction, s.Delay, s.Jitter, s.Loss*100, s.Rate, s.Down,
			c.Packets, c.Bytes, c.Lost, c.Refused, c.Swallowed, c.Reordered, c.Duplicated, d.UnderWay)
	}
	return w.Flush()
}
