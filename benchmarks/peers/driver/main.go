// A compiled client of etcd and JetStream. It is told what to do in lines of JSON and answers in
// lines of JSON; benchmarks/tasks.py says what each of them means.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// A task holds the fields of all kinds of tasks; `Type` says which of them count.
type task struct {
	Type         string   `json:"type"`
	URL          string   `json:"url"`
	Lanes        []string `json:"lanes"`
	Stream       string   `json:"stream"`
	Page         int      `json:"page"`
	Pause        float64  `json:"pause_s"`
	Batch        int      `json:"batch"`
	Events       int      `json:"events"`
	PayloadBytes int      `json:"payload_bytes"`
	Warm         float64  `json:"warm_s"`
	Seconds      float64  `json:"seconds"`
}

type failed struct {
	Type string `json:"type"`
	Why  string `json:"why"`
}

// lines hands on what comes in, and is closed with it.
func lines() <-chan []byte {
	heard := make(chan []byte)
	go func() {
		defer close(heard)
		in := bufio.NewReader(os.Stdin)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			heard <- line
		}
	}()
	return heard
}

func say(answer interface{}) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", text)
}

func sayReady() {
	say(map[string]string{"type": "ready"})
}

func do(line []byte, heard <-chan []byte) (interface{}, error) {
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return nil, err
	}
	if t.Type == "steady" {
		callTime = impatient
	}
	s, err := open(t.URL, len(t.Lanes))
	if err != nil {
		return nil, err
	}
	defer s.close()
	switch t.Type {
	case "append":
		return keepAppending(t, s, heard)
	case "mix":
		return keepMixing(t, s, heard)
	case "tail":
		return tail(t, s, heard)
	case "fill":
		return fill(t, s)
	case "catch_up":
		return catchUp(t, s)
	case "steady":
		return steadily(t, s, heard)
	case "check":
		return check(t, s)
	}
	return nil, fmt.Errorf("this client knows no task %q", t.Type)
}

func main() {
	heard := lines()
	for line := range heard {
		answer, err := do(line, heard)
		if err != nil {
			answer = failed{"failed", err.Error()}
		}
		say(answer)
	}
}
