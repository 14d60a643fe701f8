package database

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Input is what a COPY ... FROM STDIN reads: a function that writes it.
type Input func(*Rows)

// Rows is a stream of binary COPY data (PostgreSQL's manual, "COPY", "Binary
// Format"). What was appended is sent in pieces, so that the rows of a transaction
// need not be in memory together. A transaction that fits into one piece is sent at once, with its
// statements: each piece wakes the server up.
type Rows struct {
	// B is appended to.
	B []byte
	// begin is where the message that is appended to begins.
	begin int
	to    *pgproto3.Frontend
	err   error
}

const (
	// pieceBytes is the size from which rows are sent.
	pieceBytes = 64 << 10
	// typeBytes and headerBytes are the sizes of a message's type, and of type and length together.
	typeBytes, headerBytes = 1, 5
)

// pieces are reused; one that a large row made large is not.
var pieces = sync.Pool{New: func() any {
	b := make([]byte, 0, pieceBytes+pieceBytes/4)
	return &b
}}

// Row begins a row with this number of fields.
func (r *Rows) Row(fields int) {
	if len(r.B) >= pieceBytes {
		r.end()
		r.send()
		r.open()
	}
	r.B = binary.BigEndian.AppendUint16(r.B, uint16(fields)) //nolint:gosec // a table has at most 1600 columns
}

// open begins a message with COPY data.
func (r *Rows) open() {
	r.begin = len(r.B)
	r.B = append(r.B, 'd', 0, 0, 0, 0)
}

// end ends it.
func (r *Rows) end() {
	binary.BigEndian.PutUint32(r.B[r.begin+typeBytes:], uint32(len(r.B)-r.begin-typeBytes)) //nolint:gosec // rows are bounded
}

// send sends the messages that have ended. After an error the rest goes nowhere.
func (r *Rows) send() {
	if r.err == nil {
		r.err = r.to.SendUnbufferedEncodedCopyData(r.B) // and other messages, which are sent alike
	}
	r.B = r.B[:0]
}

// input appends an input from its header to its trailer.
func (r *Rows) input(in Input) {
	r.open()
	r.B = append(r.B, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	in(r)
	r.B = append(r.B, 0xff, 0xff)
	r.end()
	const done = 'c' // CopyDone
	r.B = append(r.B, done, 0, 0, 0, headerBytes-typeBytes)
}

// Answer is what one statement answered.
type Answer struct {
	// Tag of the command, as in "COPY 5".
	Tag string
	// Row is the last row, as text.
	Row []string
}

// Batch runs statements, separated by semicolons, in one round trip, with an
// input for each COPY ... FROM STDIN among them. The server stops at the first
// statement that fails: an error of the server is a *pgconn.PgError, and leaves
// a transaction that was begun open.
func Batch(ctx context.Context, conn *pgx.Conn, statements string, inputs ...Input) ([]Answer, error) {
	c := conn.PgConn()
	if c.IsClosed() || c.IsBusy() {
		return nil, errors.New("the connection is closed or busy")
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = c.Conn().SetDeadline(past) })
	if err := write(c, statements, inputs); err != nil {
		if stop() {
			err = serversWord(ctx, c, err)
		}
		_ = conn.Close(ctx) // an incomplete message was sent: nothing else can be
		return nil, ended(ctx, err)
	}
	// The watch over ctx costs less once than for each message.
	answers, refused, err := receive(context.Background(), c)
	if inTime := stop(); err != nil || !inTime {
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("receive the answers: %w", ended(ctx, err))
	}
	if refused != nil {
		return nil, refused
	}
	return answers, nil
}

// ended is the cause for which ctx ended, or err while it has not.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("wait for the server: %w", cause)
	}
	return err
}

// write sends the statements and their inputs. The server answers less than what fits into the
// buffers of a connection, so that neither side waits for the other.
func write(c *pgconn.PgConn, statements string, inputs []Input) error {
	buffer := pieces.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	query, err := (&pgproto3.Query{String: statements}).Encode((*buffer)[:0])
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	r := &Rows{B: query, to: c.Frontend()}
	for _, in := range inputs {
		r.input(in)
	}
	r.send()
	if cap(r.B) <= 2*pieceBytes {
		*buffer = r.B
		pieces.Put(buffer)
	}
	if r.err != nil {
		return fmt.Errorf("send: %w", r.err)
	}
	return nil
}

// serversWord finds out why the server closed a connection while it was written to.
func serversWord(ctx context.Context, c *pgconn.PgConn, err error) error {
	if c.IsClosed() || ctx.Err() != nil {
		return err
	}
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, refused, receiveErr := receive(ctx, c)
	if refused != nil {
		return refused
	}
	if pg, ok := errors.AsType[*pgconn.PgError](receiveErr); ok {
		return pg
	}
	return err
}

// receive reads until the server is ready for the next query. refused is the server's error.
func receive(ctx context.Context, c *pgconn.PgConn) (answers []Answer, refused *pgconn.PgError, err error) {
	var row []string
	for {
		message, err := c.ReceiveMessage(ctx)
		if err != nil {
			return nil, refused, err //nolint:wrapcheck // by the caller
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			row = make([]string, len(m.Values))
			for i, value := range m.Values {
				row[i] = string(value)
			}
		case *pgproto3.CommandComplete:
			answers = append(answers, Answer{Tag: string(m.CommandTag), Row: row})
			row = nil
		case *pgproto3.ErrorResponse:
			refused = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return answers, refused, nil
		}
	}
}

// Copied is how a table is copied into.
type Copied struct {
	// Statement is COPY ... FROM STDIN (FORMAT binary).
	Statement string
	Rows      Input
	// Count is how many rows those are.
	Count int
}

// StoreOnce begins a transaction like BeginWrite, copies rows, and commits like
// Commit, in one round trip. query has no FROM: it is answered together with what
// the server's configuration says about commits. After an error nothing is stored,
// or it is unknown whether it is; the connection is not in a transaction.
func StoreOnce(ctx context.Context, conn *pgx.Conn, limit time.Duration, query string, tables ...Copied) ([]string, error) {
	waits := commitWaits(conn)
	answer, err := storeAll(ctx, conn, beginOnce(limit, waits), query+askWaits, tables)
	if err != nil {
		return nil, err
	}
	last := len(answer) - 1
	if configured := answer[last]; configured == waits || waits == waitsLocally && configured != waitsForReplay {
		return answer[:last], nil
	} else if expectWaits(conn, configured); configured != waitsForReplay {
		return answer[:last], nil
	}
	// The configuration promises more than this commit waited for.
	tx, err := BeginWrite(ctx, conn, limit)
	if err != nil {
		return nil, err
	}
	if err := Durable(ctx, tx); err != nil {
		_ = tx.Rollback(ctx) // a failure closes the connection
		return nil, err
	}
	return Commit(ctx, conn, query)
}

// StoreRest copies rows within a transaction and commits it, like StoreOnce.
func StoreRest(ctx context.Context, conn *pgx.Conn, query string, tables ...Copied) ([]string, error) {
	return storeAll(ctx, conn, "", query, tables)
}

func storeAll(ctx context.Context, conn *pgx.Conn, begin, query string, tables []Copied) ([]string, error) {
	c := conn.PgConn()
	delete(c.CustomData(), warningKey)
	var statements strings.Builder
	statements.WriteString(begin)
	inputs := make([]Input, len(tables))
	for i, t := range tables {
		statements.WriteString(t.Statement + "; ")
		inputs[i] = t.Rows
	}
	statements.WriteString("COMMIT; " + query)
	answers, err := Batch(ctx, conn, statements.String(), inputs...)
	if err == nil {
		err = checkCopies(answers, tables)
	}
	if warning, warned := c.CustomData()[warningKey].(string); warned {
		err = &CommitWarningError{Message: warning}
	}
	if err != nil {
		rollback(ctx, conn)
		return nil, fmt.Errorf("store: %w", err)
	}
	return answers[len(answers)-1].Row, nil
}

// rollback ends a transaction that failed. The connection is closed if that fails, too.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return
	}
	if _, err := conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		_ = conn.Close(ctx)
	}
}

// checkCopies expects that all rows were copied and committed.
func checkCopies(answers []Answer, tables []Copied) error {
	copies, committed := 0, false
	for i, a := range answers {
		switch {
		case strings.HasPrefix(a.Tag, "COPY "):
			if copies == len(tables) || a.Tag != fmt.Sprintf("COPY %d", tables[copies].Count) {
				return fmt.Errorf("the server stored other rows than were sent: %s", a.Tag)
			}
			copies++
		case a.Tag == "COMMIT":
			committed = true
		case a.Tag == "ROLLBACK":
			return pgx.ErrTxCommitRollback
		case committed && i == len(answers)-1 && len(a.Row) > 0 && copies == len(tables):
			return nil
		}
	}
	return errNothingAnswered
}
