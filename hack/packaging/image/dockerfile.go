package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
)

// Stage is one FROM of a Dockerfile, with what it inherits.
type Stage struct {
	// Name after AS.
	Name string
	// Args with their defaults, then with the values given.
	Args map[string]string
	// Labels of the image.
	Labels map[string]string
	// Copies are sources in the build context and the absolute paths they go to.
	Copies []Copy
	// User as "uid:gid".
	User string
	// Entrypoint in its exec form.
	Entrypoint []string
}

// Copy is one file of an image.
type Copy struct{ From, To string }

// Parse reads a Dockerfile whose stages come from scratch or from earlier stages.
// args override the defaults of ARG, as --build-arg does; variables are written
// ${NAME}. Anything but FROM … AS, ARG, LABEL, COPY, USER and ENTRYPOINT is an error.
func Parse(text string, args map[string]string) (map[string]Stage, error) {
	stages := map[string]Stage{}
	var current *Stage
	for _, line := range logical(text) {
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word == "FROM" {
			if current != nil {
				stages[current.Name] = *current
			}
			next, err := begin(rest, stages, current)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			current = &next
			continue
		}
		if current == nil {
			return nil, fmt.Errorf("%q stands before the first FROM", line)
		}
		if err := current.apply(word, rest, args); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	if current != nil {
		stages[current.Name] = *current
	}
	return stages, nil
}

// logical joins continued lines and drops comments.
func logical(text string) (out []string) {
	held := ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if head, more := strings.CutSuffix(line, `\`); more {
			held += strings.TrimSpace(head) + " "
			continue
		}
		out, held = append(out, held+line), ""
	}
	return out
}

func begin(rest string, stages map[string]Stage, current *Stage) (Stage, error) {
	fields := strings.Fields(rest)
	if len(fields) != 3 || fields[1] != "AS" {
		return Stage{}, fmt.Errorf("want FROM <scratch or a stage> AS <name>")
	}
	next := Stage{Name: fields[2], Args: map[string]string{}, Labels: map[string]string{}}
	if _, twice := stages[next.Name]; twice || (current != nil && current.Name == next.Name) {
		return Stage{}, fmt.Errorf("the stage %s is there twice", next.Name)
	}
	if fields[0] == "scratch" {
		return next, nil
	}
	parent, known := stages[fields[0]]
	if !known {
		return Stage{}, fmt.Errorf("no stage %s stands before it; only scratch comes from elsewhere", fields[0])
	}
	next.User, next.Entrypoint, next.Copies = parent.User, parent.Entrypoint, append([]Copy(nil), parent.Copies...)
	maps.Copy(next.Labels, parent.Labels) // ARGs are not inherited
	return next, nil
}

func (s *Stage) apply(word, rest string, args map[string]string) error {
	if word == "ARG" {
		name, fallback, _ := strings.Cut(rest, "=")
		s.Args[name] = fallback
		if given, ok := args[name]; ok {
			s.Args[name] = given
		}
		return nil
	}
	rest, err := s.expand(rest)
	if err != nil {
		return err
	}
	switch word {
	case "LABEL":
		return s.label(rest)
	case "COPY":
		fields := strings.Fields(rest)
		if len(fields) != 2 || !strings.HasPrefix(fields[1], "/") {
			return fmt.Errorf("want COPY <file> </absolute path>")
		}
		s.Copies = append(s.Copies, Copy{From: fields[0], To: fields[1]})
		return nil
	case "USER":
		s.User = rest
		return nil
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &s.Entrypoint)
	}
	return fmt.Errorf("the instruction %s is not known here", word)
}

// label reads key="value" pairs; a value holds no quote.
func (s *Stage) label(rest string) error {
	for rest != "" {
		key, after, ok := strings.Cut(rest, `="`)
		value, more, closed := strings.Cut(after, `"`)
		if !ok || !closed || strings.ContainsAny(key, " \"") {
			return fmt.Errorf(`want key="value" …, have %s`, rest)
		}
		s.Labels[key], rest = value, strings.TrimSpace(more)
	}
	return nil
}

func (s *Stage) expand(text string) (string, error) {
	var err error
	out := os.Expand(text, func(name string) string {
		value, known := s.Args[name]
		if !known || value == "" {
			err = fmt.Errorf("the argument %s has no value in the stage %s", name, s.Name)
		}
		return value
	})
	return out, err
}
