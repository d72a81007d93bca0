// One thread that waits for all connections of a work and reads whichever has something. Go's own way, a goroutine for
// each connection, wakes a thread for each: with one request in flight on a connection that costs more than the request.
package main

import (
	"crypto/tls"
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
	// tls is what connections are made with; nil is without.
	tls         *tls.Config
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
	// With TLS what is sent waits in unsealed for the loop's next turn, so that it leaves in as few records as it can.
	secure   *tls.Conn
	wire     *wire
	unsealed []byte
}

func newRawLoop(o options) (*rawLoop, error) {
	config, configErr := o.tlsConfig()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	err = errors.Join(configErr, err)
	return &rawLoop{tls: config, epoll: epoll, events: make([]unix.EpollEvent, 64), connections: map[int32]*rawConnection{}}, err
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
	s := &socket{in: make([]byte, rawBufferBytes)}
	if err := s.shakeHands(connection, endpoint, l.tls); err != nil {
		return nil, err
	}
	// A descriptor of its own, which Go's runtime does not wait for.
	if s.file, err = connection.(*net.TCPConn).File(); err != nil {
		return nil, err
	}
	s.fd = int(s.file.Fd())
	return s, errors.Join(unix.SetNonblock(s.fd, true),
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}))
}

// shakeHands makes TLS of the connection, if there is a configuration; from then on the loop waits for its bytes.
func (s *socket) shakeHands(connection net.Conn, endpoint string, config *tls.Config) error {
	if config == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return err
	}
	config = config.Clone()
	config.ServerName = host
	s.wire = &wire{Conn: connection, in: make([]byte, rawBufferBytes)}
	s.secure = tls.Client(s.wire, config)
	if err := s.secure.Handshake(); err != nil {
		return err
	}
	s.wire.socket = s
	return nil
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
	if s.secure != nil {
		return c.readableSecurely()
	}
	n, err := s.receive(s.room())
	if err != nil || n == 0 {
		return err
	}
	s.end += n
	return c.frames()
}

// readableSecurely takes what has come, and out of it whatever records are complete.
func (c *rawConnection) readableSecurely() error {
	s := c.socket
	n, err := s.receive(s.wire.in)
	if err != nil || n == 0 {
		return err
	}
	s.wire.begin, s.wire.end = 0, n
	for {
		n, err := s.secure.Read(s.room())
		if errors.Is(err, errNothingYet) {
			return nil
		}
		if err != nil {
			return err
		}
		s.end += n
		if err := c.frames(); err != nil {
			return err
		}
	}
}

// room is where what comes next is read to, behind what is not parsed yet.
func (s *socket) room() []byte {
	s.end = copy(s.in, s.in[s.begin:s.end])
	s.begin = 0
	return s.in[s.end:]
}

// receive reads what there is; nothing is no error.
func (s *socket) receive(into []byte) (int, error) {
	n, err := unix.Read(s.fd, into)
	s.at = time.Now()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// frames takes all that are complete.
func (c *rawConnection) frames() error {
	s := c.socket
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
	if s.secure != nil {
		s.unsealed = append(s.unsealed, bytes...)
		return len(bytes), nil
	}
	s.out = append(s.out, bytes...)
	return len(bytes), nil
}

// flush sends what the kernel takes; the loop is told of the room for the rest.
func (s *socket) flush(epoll int) error {
	if len(s.unsealed) > 0 {
		if _, err := s.secure.Write(s.unsealed); err != nil {
			return err
		}
		s.unsealed = s.unsealed[:0]
	}
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
