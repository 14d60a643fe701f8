// Package routes has the routes of the DataStorage API, generated from its document.
package routes
