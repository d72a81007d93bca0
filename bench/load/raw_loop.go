// One thread that waits for all connections of a work and reads whichever has something. Go's own way, a goroutine for
// each connection, wakes a thread for each: with one request in flight on a connection that costs more than the request.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rawBufferBytes = 64 << 10
	frameHeadBytes = 9
	// No server is silent for so long; one that is has lost a request.
	silenceMax = time.Minute
)

// rawLoop is for one goroutine.
type rawLoop struct {
	epoll       int
	events      []unix.EpollEvent
	connections map[int32]*rawConnection
}

// socket is one connection's bytes on their way in and out.
type socket struct {
	file *os.File
	fd   int
	// in[begin:end] was read and is not parsed yet; at is when it came.
	in         []byte
	begin, end int
	at         time.Time
	// out waits to be sent; full says that the kernel has no room for it, awaited that the loop waits for room.
	out           []byte
	full, awaited bool
}

func newRawLoop() (*rawLoop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &rawLoop{epoll: epoll, events: make([]unix.EpollEvent, 64), connections: map[int32]*rawConnection{}}, err
}

// close ends all connections.
func (l *rawLoop) close() {
	for _, connection := range l.connections {
		_ = connection.socket.file.Close()
	}
	_ = unix.Close(l.epoll)
}

// connect opens a socket that the loop waits for.
func (l *rawLoop) connect(endpoint string) (*socket, error) {
	connection, err := net.Dial("tcp", endpoint)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	// A descriptor of its own, which Go's runtime does not wait for.
	file, err := connection.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	s := &socket{file: file, fd: int(file.Fd()), in: make([]byte, rawBufferBytes)}
	return s, errors.Join(unix.SetNonblock(s.fd, true),
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}))
}

// turn sends what waits, then reads whatever comes next; at the time given, if there is one, it returns without.
func (l *rawLoop) turn(until time.Time) error {
	for _, connection := range l.connections {
		if err := connection.socket.flush(l.epoll); err != nil {
			return err
		}
	}
	wait := silenceMax
	if !until.IsZero() {
		wait = max(0, time.Until(until)+time.Millisecond-1)
	}
	count, err := unix.EpollWait(l.epoll, l.events, int(wait.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	if count == 0 && err == nil && until.IsZero() {
		return fmt.Errorf("the server has been silent for %v", silenceMax)
	}
	for _, event := range l.events[:max(0, count)] {
		connection := l.connections[event.Fd]
		if event.Events&unix.EPOLLOUT != 0 {
			connection.socket.full = false
		}
		if event.Events&^unix.EPOLLOUT != 0 {
			if err := connection.readable(); err != nil {
				return err
			}
		}
	}
	return nil
}

// turnWhile turns as long as there is something to wait for.
func (l *rawLoop) turnWhile(waiting func() bool) error {
	for waiting() {
		if err := l.turn(time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// readable takes what has come and all frames that are complete with it.
func (c *rawConnection) readable() error {
	s := c.socket
	s.end = copy(s.in, s.in[s.begin:s.end])
	s.begin = 0
	n, err := unix.Read(s.fd, s.in[s.end:])
	s.at = time.Now()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	s.end += n
	for {
		whole, err := s.frameIsWhole()
		if err != nil || !whole {
			return err
		}
		if err := c.frame(); err != nil {
			return err
		}
	}
}

func (s *socket) frameIsWhole() (bool, error) {
	if s.end-s.begin < frameHeadBytes {
		return false, nil
	}
	head := s.in[s.begin:]
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if length > frameBytes {
		return false, fmt.Errorf("the server sent a frame of %d bytes", length)
	}
	return s.end-s.begin >= frameHeadBytes+length, nil
}

// Read is for the framer, which is asked only for frames that are here.
func (s *socket) Read(into []byte) (int, error) {
	if s.begin == s.end {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(into, s.in[s.begin:s.end])
	s.begin += n
	return n, nil
}

// Write is for the framer; the bytes leave with the next turn.
func (s *socket) Write(bytes []byte) (int, error) {
	s.out = append(s.out, bytes...)
	return len(bytes), nil
}

// flush sends what the kernel takes; the loop is told of the room for the rest.
func (s *socket) flush(epoll int) error {
	if len(s.out) == 0 || s.full {
		return nil
	}
	n, err := unix.Write(s.fd, s.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		return err
	}
	s.out = s.out[:copy(s.out, s.out[max(0, n):])]
	s.full = len(s.out) > 0
	if s.full == s.awaited {
		return nil
	}
	s.awaited = s.full
	interest := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}
	if s.awaited {
		interest.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_MOD, s.fd, &interest)
}
