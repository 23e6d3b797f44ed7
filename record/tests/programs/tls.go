// A TLS server and its clients in one program, on loopback: every client asks many times, on stacks that grow and move, while
// garbage is collected all the time. It checks every answer and prints what was exchanged as JSON.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func certificate() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"go.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	parsed, err := x509.ParseCertificate(der)
	check(err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func request(client, call int) string {
	return fmt.Sprintf("GET /client/%d/call/%d HTTP/1.1\r\nHost: go.test\r\n\r\n", client, call)
}

func response(request string) string {
	return "HTTP/1.1 200 OK\r\nX-Asked: " + strconv.Itoa(len(request)) + "\r\n\r\n"
}

// Uses up a part of the stack before it reads, so that the call meets stacks of every fill.
//
//go:noinline
func readDeep(conn *tls.Conn, buffer []byte, depth int) int {
	var frame [200]byte
	frame[depth%200] = byte(depth)
	if depth > 0 {
		return readDeep(conn, buffer, depth-1) + int(frame[(depth+1)%200])
	}
	n, err := conn.Read(buffer)
	if err == io.EOF {
		return 0
	}
	check(err)
	return n
}

func serve(conn *tls.Conn) {
	defer conn.Close()
	for {
		var buffer [300]byte
		n := readDeep(conn, buffer[:], 1)
		if n == 0 {
			return
		}
		_, err := conn.Write([]byte(response(string(buffer[:n]))))
		check(err)
	}
}

func ask(address string, config *tls.Config, client, calls int) int {
	tcp, err := net.Dial("tcp", address)
	check(err)
	conn := tls.Client(tcp, config)
	defer conn.Close()
	fd := -1
	raw, err := tcp.(syscall.Conn).SyscallConn()
	check(err)
	check(raw.Control(func(got uintptr) { fd = int(got) }))
	for call := 0; call < calls; call++ {
		asked := request(client, call)
		_, err := conn.Write([]byte(asked)) // the first one shakes hands
		check(err)
		var buffer [300]byte
		n := readDeep(conn, buffer[:], (client*7+call)%60)
		if string(buffer[:n]) != response(asked) {
			panic(fmt.Sprintf("asked %q, got %q", asked, buffer[:n]))
		}
	}
	return fd
}

func main() {
	clients, err := strconv.Atoi(os.Args[1])
	check(err)
	calls, err := strconv.Atoi(os.Args[2])
	check(err)
	cert, pool := certificate()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	check(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*tls.Conn))
		}
	}()
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC() // scans and moves stacks
			}
		}
	}()
	fds := make([]int, clients)
	var waiting sync.WaitGroup
	for client := 0; client < clients; client++ {
		waiting.Add(1)
		go func(client int) {
			defer waiting.Done()
			config := &tls.Config{RootCAs: pool, ServerName: "go.test"}
			fds[client] = ask(listener.Addr().String(), config, client, calls)
		}(client)
	}
	waiting.Wait()
	close(done)
	listener.Close()
	time.Sleep(100 * time.Millisecond) // the servers see their connections end
	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"fds": fds, "collections": collections()}))
}

func collections() uint32 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.NumGC
}
