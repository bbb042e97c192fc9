package main

import (
	"math/rand"
	"strconv"
	"strings"
	"sync"
)

const (
	variants   = 8
	errorsKept = 3
	pauseAfter = 0.01
)

type appending struct {
	Type      string   `json:"type"`
	Requests  int      `json:"requests"`
	Events    int      `json:"events"`
	Durations []int    `json:"durations_us"`
	CPU       float64  `json:"cpu_s"`
	Resident  int      `json:"resident_bytes"`
	Errors    []string `json:"errors"`
}

// someBatches makes what is appended in turn: bytes that nothing can shorten.
func someBatches(count, size int) [][][]byte {
	random := rand.New(rand.NewSource(1))
	made := make([][][]byte, variants)
	for number := range made {
		made[number] = make([][]byte, count)
		for position := range made[number] {
			made[number][position] = make([]byte, size)
			random.Read(made[number][position])
		}
	}
	return made
}

// A tally is what one lane has done in the window.
type tally struct {
	durations []int
	errors    []string
}

func (t *tally) keep(l lane, given [][][]byte, start, end float64) {
	for number := 0; ; number++ {
		began := now()
		if began >= end {
			return
		}
		if err := l.append(given[number%len(given)]); err != nil {
			if len(t.errors) < errorsKept {
				t.errors = append(t.errors, err.Error())
			}
			sleepUntil(now() + pauseAfter)
			continue
		}
		done := now()
		if start <= done && done < end {
			t.durations = append(t.durations, int((done-began)*1e6))
		}
	}
}

// keepAppending keeps every lane busy until the window is over.
func keepAppending(t task, s store, heard <-chan []byte) (interface{}, error) {
	given := someBatches(t.Batch, t.PayloadBytes)
	lanes := make([]lane, len(t.Lanes))
	for number, stream := range t.Lanes {
		lanes[number] = s.lane(number, stream)
	}
	sayReady()
	begin, err := strconv.ParseFloat(strings.TrimSpace(string(<-heard)), 64)
	if err != nil {
		return nil, err
	}
	start := begin + t.Warm
	end := start + t.Seconds
	tallies := make([]tally, len(lanes))
	var busy sync.WaitGroup
	for number := range lanes {
		busy.Add(1)
		go func(number int) {
			defer busy.Done()
			tallies[number].keep(lanes[number], given, start, end)
		}(number)
	}
	sleepUntil(start)
	before := cpuSeconds()
	sleepUntil(end)
	found := appending{Type: "appending", CPU: cpuSeconds() - before, Errors: []string{}, Durations: []int{}}
	busy.Wait()
	for _, one := range tallies {
		found.Durations = append(found.Durations, one.durations...)
		found.Errors = append(found.Errors, one.errors...)
	}
	if len(found.Errors) > errorsKept {
		found.Errors = found.Errors[:errorsKept]
	}
	found.Requests = len(found.Durations)
	found.Events = found.Requests * t.Batch
	found.Resident = residentBytes()
	return found, nil
}
