package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const clockMonotonic = 1

// The clock that Python calls monotonic, so that several processes can begin together.
var (
	madeAt   = time.Now()
	madeTime = readMonotonic()
)

func readMonotonic() float64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Sec) + float64(t.Nsec)/1e9
}

// now is the monotonic time in seconds, without a system call.
func now() float64 {
	return madeTime + time.Since(madeAt).Seconds()
}

func sleepUntil(moment float64) {
	time.Sleep(time.Duration((moment - now()) * float64(time.Second)))
}

// cpuSeconds is the processor time this process has used.
func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	micros := used.Utime.Usec + used.Stime.Usec
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(micros)/1e6
}

// residentBytes is the memory this process holds.
func residentBytes() int {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}
