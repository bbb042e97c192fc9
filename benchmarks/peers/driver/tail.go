package main

import (
	"encoding/binary"
	"sync"
)

const stragglers = 1.0

// tail appends an event every now and then, and measures how long after the call began it arrived
// with somebody who follows the stream.
func tail(t task, s store, heard <-chan []byte) (interface{}, error) {
	var lock sync.Mutex
	var start, end float64
	sent := map[uint64]float64{}
	found := tally{durations: []int{}, errors: []string{}}
	err := s.follow(t.Stream, func(payload []byte) {
		came := now()
		number := binary.BigEndian.Uint64(payload)
		lock.Lock()
		defer lock.Unlock()
		if began := sent[number]; start <= began && began < end {
			found.durations = append(found.durations, int((came-began)*1e6))
		}
	})
	if err != nil {
		return nil, err
	}
	first, err := begin(t, heard)
	if err != nil {
		return nil, err
	}
	lock.Lock()
	start, end = first, first+t.Seconds
	lock.Unlock()
	to := s.lane(0, t.Stream)
	var before float64
	for number := uint64(0); now() < end; number++ {
		began := now()
		if before == 0 && began >= start {
			before = cpuSeconds()
		}
		lock.Lock()
		sent[number] = began
		lock.Unlock()
		if err := to.append([][]byte{numbered(number, t.PayloadBytes)}); err != nil {
			return nil, err
		}
		sleepUntil(began + t.Pause)
	}
	used := cpuSeconds() - before
	sleepUntil(end + stragglers)
	lock.Lock()
	defer lock.Unlock()
	return found.answer(1, used), nil
}
