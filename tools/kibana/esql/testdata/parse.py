# SPDX-License-Identifier: Apache-2.0

"""Reads ES|QL queries from standard input, a JSON list of texts, by the grammar that Elasticsearch has, and prints what is wrong with each: a list of lists."""

import json
import sys

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from esql_parser.EsqlBaseLexer import EsqlBaseLexer
from esql_parser.EsqlBaseParser import EsqlBaseParser


class Faults(ErrorListener):
    def __init__(self):
        self.found = []

    def syntaxError(self, recognizer, symbol, line, column, message, error):
        self.found.append(f"line {line}:{column}: {message}")


def faults(text):
    listener = Faults()
    lexer = EsqlBaseLexer(InputStream(text))
    lexer.removeErrorListeners()
    lexer.addErrorListener(listener)
    parser = EsqlBaseParser(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    parser.addErrorListener(listener)
    parser.singleStatement()
    return listener.found


json.dump([faults(text) for text in json.load(sys.stdin)], sys.stdout)
