package main

import (
	"fmt"
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

// keep calls again and again until the window is over.
func (t *tally) keep(call func(number int) error, start, end float64) {
	for number := 0; ; number++ {
		began := now()
		if began >= end {
			return
		}
		if err := call(number); err != nil {
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
	calls := make([]func(int) error, len(t.Lanes))
	for place, stream := range t.Lanes {
		to := s.lane(place, stream)
		calls[place] = func(number int) error { return to.append(given[number%len(given)]) }
	}
	return inWindow(t, calls, t.Batch, heard)
}

// keepMixing has every lane read a page of a stream nine times out of ten, and else append.
func keepMixing(t task, s store, heard <-chan []byte) (interface{}, error) {
	given := someBatches(1, t.PayloadBytes)
	calls := make([]func(int) error, len(t.Lanes))
	for place, stream := range t.Lanes {
		to := s.lane(place, stream)
		random := rand.New(rand.NewSource(int64(place)))
		calls[place] = func(number int) error {
			if random.Intn(10) == 0 {
				return to.append(given[number%len(given)])
			}
			found, err := s.page(t.Stream, random.Intn(t.Events-t.Page), t.Page)
			if err == nil && found != t.Page {
				err = fmt.Errorf("%d events instead of %d", found, t.Page)
			}
			return err
		}
	}
	return inWindow(t, calls, 1, heard)
}

// inWindow makes calls of so many events until the window is over, each of them in a lane.
func inWindow(t task, calls []func(int) error, events int, heard <-chan []byte) (interface{}, error) {
	start, err := begin(t, heard)
	if err != nil {
		return nil, err
	}
	end := start + t.Seconds
	tallies := make([]tally, len(calls))
	var busy sync.WaitGroup
	for place := range calls {
		busy.Add(1)
		go func(place int) {
			defer busy.Done()
			tallies[place].keep(calls[place], start, end)
		}(place)
	}
	sleepUntil(start)
	before := cpuSeconds()
	sleepUntil(end)
	used := cpuSeconds() - before
	busy.Wait()
	whole := tally{durations: []int{}, errors: []string{}}
	for _, one := range tallies {
		whole.durations = append(whole.durations, one.durations...)
		whole.errors = append(whole.errors, one.errors...)
	}
	return whole.answer(events, used), nil
}

// begin says that all is ready, and hears when the window starts.
func begin(t task, heard <-chan []byte) (float64, error) {
	sayReady()
	moment, err := strconv.ParseFloat(strings.TrimSpace(string(<-heard)), 64)
	return moment + t.Warm, err
}

func (t *tally) answer(events int, used float64) appending {
	if len(t.errors) > errorsKept {
		t.errors = t.errors[:errorsKept]
	}
	return appending{
		Type:      "appending",
		Requests:  len(t.durations),
		Events:    len(t.durations) * events,
		Durations: t.durations,
		CPU:       used,
		Resident:  residentBytes(),
		Errors:    t.errors,
	}
}
