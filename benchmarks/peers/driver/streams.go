package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

type content struct {
	Type         string  `json:"type"`
	Events       int     `json:"events"`
	PayloadBytes int     `json:"payload_bytes"`
	Digest       uint32  `json:"digest"`
	Seconds      float64 `json:"seconds"`
	CPU          float64 `json:"cpu_s"`
}

type acknowledged struct {
	Type    string    `json:"type"`
	Times   []float64 `json:"times"`
	Count   int       `json:"count"`
	Unknown []int     `json:"unknown"`
	Errors  []string  `json:"errors"`
}

type numbers struct {
	Type  string   `json:"type"`
	Found []uint64 `json:"found"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c *content) add(payload []byte) {
	c.Events++
	c.PayloadBytes += len(payload)
	c.Digest = crc32.Update(c.Digest, castagnoli, payload)
}

// measured adds up what `work` takes in, and how long that lasts.
func measured(work func(*content) error) (interface{}, error) {
	found := content{Type: "content"}
	began, before := now(), cpuSeconds()
	err := work(&found)
	found.Seconds = now() - began
	found.CPU = cpuSeconds() - before
	return found, err
}

// fill appends an exact number of events in sequence.
func fill(t task, s store) (interface{}, error) {
	given := someBatches(t.Batch, t.PayloadBytes)
	to := s.lane(0, t.Stream)
	return measured(func(written *content) error {
		for number := 0; written.Events < t.Events; number++ {
			batch := given[number%len(given)]
			if left := t.Events - written.Events; left < len(batch) {
				batch = batch[:left]
			}
			if err := to.append(batch); err != nil {
				return err
			}
			for _, payload := range batch {
				written.add(payload)
			}
		}
		return nil
	})
}

// catchUp reads a stream from its beginning and takes offset, type and payload of every event.
func catchUp(t task, s store) (interface{}, error) {
	return measured(func(found *content) error {
		var last uint64
		var wrong error
		err := s.read(t.Stream, func(offset uint64, kind string, payload []byte) {
			if kind != eventType || (found.Events > 0 && offset <= last) {
				wrong = fmt.Errorf("%s at %d after %d", kind, offset, last)
			}
			last = offset
			found.add(payload)
		})
		if err == nil {
			err = wrong
		}
		return err
	})
}

// numbered is an event that can be told from all others.
func numbered(number uint64, size int) []byte {
	payload := bytes.Repeat([]byte{'.'}, size)
	binary.BigEndian.PutUint64(payload, number)
	return payload
}

// steadily appends numbered events in sequence until the next line comes.
func steadily(t task, s store, heard <-chan []byte) (interface{}, error) {
	to := s.lane(0, t.Stream)
	found := acknowledged{Type: "acknowledged", Times: []float64{}, Unknown: []int{}, Errors: []string{}}
	sayReady()
	for {
		select {
		case <-heard:
			return found, nil
		default:
		}
		if err := to.append([][]byte{numbered(uint64(found.Count), t.PayloadBytes)}); err != nil {
			found.Unknown = append(found.Unknown, found.Count)
			if len(found.Errors) < errorsKept {
				found.Errors = append(found.Errors, err.Error())
			}
			sleepUntil(now() + pauseAfter)
		} else {
			found.Times = append(found.Times, now())
		}
		found.Count++
	}
}

// check reads the numbers of a stream.
func check(t task, s store) (interface{}, error) {
	found := numbers{Type: "numbers", Found: []uint64{}}
	err := s.read(t.Stream, func(_ uint64, _ string, payload []byte) {
		found.Found = append(found.Found, binary.BigEndian.Uint64(payload))
	})
	return found, err
}
