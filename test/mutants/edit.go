package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// edit changes one function of a package.
type edit struct {
	// function is its name, behind its receiver's type where it is a method, as in Store.flush.
	function string
	// old is a sequence of Go tokens that the function's body contains exactly
	// once; empty stands for the empty sequence at the body's beginning.
	old string
	// replacement takes its place.
	replacement string
	// declaration is appended to the function's file; then nothing is replaced.
	declaration string
	// dir has the package, from the repository's root; the suite's if it is empty.
	dir string
}

// swap replaces what a function does in one place.
func swap(function, old, replacement string) edit {
	return edit{function: function, old: old, replacement: replacement}
}

// drop makes a function leave something out.
func drop(function, old string) edit { return edit{function: function, old: old} }

// begin makes a function do something first.
func begin(function, statement string) edit {
	return edit{function: function, replacement: statement}
}

// declare adds what the other edits of a mutant use to the function's file.
func declare(function, declaration string) edit {
	return edit{function: function, declaration: declaration}
}

// in names the package of an edit.
func (e edit) in(dir string) edit {
	e.dir = dir
	return e
}

var errNotFound = errors.New("no such function")

// apply returns the path of the file that has the function, and its text with
// the edit. Files whose text was edited before are taken from edited.
func (e edit) apply(dir string, edited map[string]string) (path, text string, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", "", fmt.Errorf("list %s: %w", dir, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, known := edited[path]
		if !known {
			bytes, err := os.ReadFile(path)
			if err != nil {
				return "", "", fmt.Errorf("read source: %w", err)
			}
			text = string(bytes)
		}
		changed, err := e.change(text)
		if errors.Is(err, errNotFound) {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("%s: %s: %w", path, e.function, err)
		}
		return path, changed, nil
	}
	return "", "", fmt.Errorf("%s: %s: %w", dir, e.function, errNotFound)
}

// change edits the text of one file.
func (e edit) change(text string) (string, error) {
	begin, end, err := body(text, e.function)
	if err != nil {
		return "", err
	}
	if e.declaration != "" {
		return text + "\n" + e.declaration + "\n", nil
	}
	if e.old == "" {
		return text[:begin] + "\n" + e.replacement + "\n" + text[begin:], nil
	}
	from, to, err := find(tokens(text[begin:end]), tokens(e.old))
	if err != nil {
		return "", err
	}
	return text[:begin+from] + e.replacement + text[begin+to:], nil
}

// body returns the offsets of what stands between the braces of a function.
func body(text, function string) (begin, end int, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", text, parser.SkipObjectResolution)
	if err != nil {
		return 0, 0, fmt.Errorf("parse: %w", err)
	}
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if ok && f.Body != nil && qualifiedName(f) == function {
			return files.Position(f.Body.Lbrace).Offset + 1, files.Position(f.Body.Rbrace).Offset, nil
		}
	}
	return 0, 0, errNotFound
}

func qualifiedName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.IndexListExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// lexeme is a token without its white space and comments.
type lexeme struct {
	text       string
	begin, end int
}

// tokens splits Go source, and leaves semicolons out: whether one or a line's
// end separates statements does not matter.
func tokens(text string) []lexeme {
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(text))
	s.Init(file, []byte(text), nil, 0)
	var all []lexeme
	for {
		position, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return all
		case kind == token.SEMICOLON:
			continue
		case literal == "":
			literal = kind.String()
		}
		begin := file.Offset(position)
		all = append(all, lexeme{text: literal, begin: begin, end: begin + len(literal)})
	}
}

// find returns where the only occurrence of a sequence begins and ends.
func find(all, wanted []lexeme) (begin, end int, err error) {
	count := 0
	for i := 0; i+len(wanted) <= len(all); i++ {
		if !matches(all[i:], wanted) {
			continue
		}
		count++
		begin, end = all[i].begin, all[i+len(wanted)-1].end
	}
	if count != 1 {
		return 0, 0, fmt.Errorf("the tokens to replace occur %d times, want once", count)
	}
	return begin, end, nil
}

func matches(all, wanted []lexeme) bool {
	for i, w := range wanted {
		if all[i].text != w.text {
			return false
		}
	}
	return true
}
