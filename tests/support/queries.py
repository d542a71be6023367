"""Fifty searches for talks of `prose`, as somebody types who remembers the talk but not its words.

Written before there was a search: the talks were drawn with a seed from those that are the same in Python 3.11 to 3.13,
then read, then each was given words from memory.
"""

QUERIES: list[tuple[str, set[str]]] = [
    # words of the title, some with another that was in the talk; two without the title's accents
    ("markupbase html declarations", {"markupbase-acc2"}),
    ("all about http.cookiejar max-age", {"29982427-1542-4dea-a656-1c449240b855"}),
    ("functools a > b total ordering", {"chat_4a7c3feb566e"}),
    ("doctest regular expression match options", {"doctest-ea50"}),
    ("understanding event loop futures", {"e6644929-7b12-4e9f-ab0a-b85ad0c26daa"}),
    ("a propos de sendall", {"b266438d-0415-41c2-a49b-d515caf0ce80"}),
    ("xmlrpc a relire", {"40a94181-f73e-415a-a18d-984e6852c7f6"}),
    # words that only the turns have
    ("finalizers exit priority reverse order", {"chat_ce842d8e88bd"}),
    ("wsgi compliance middleware check", {"fc8c8897-64b2-4d57-a5c5-dc6e3a581f27"}),
    ("IIS decode request utf-8 mbcs", {"2025-02-09-wsgiref-handlers-5a"}),
    ("bare quoted string encoded word atom", {"2025-12-09-email-header-value-parser-02"}),
    ("gestalt pattern matching Ratcliff", {"difflib-0a9f"}),
    ("virtual pickle machine stack memo", {"fc776922-e260-4c78-a86a-89e8038a8b9f"}),
    ("minidom clone node new owner", {"bff2d8c8-9cc8-4a58-a2b6-c39fcfba1ab6"}),
    ("positional arguments interspersed with options", {"3803d399-6c0a-414c-a0a9-49c36293145d"}),
    ("75 character limit header charset", {"2026-05-23-email-header-85"}),
    ("profiler stopwatch overhead pprint recursive", {"chat_9ed864b838b9"}),
    ("unverifiable transaction third-party host", {"2026-05-16-http-cookiejar-56"}),
    ("super accurate integer addition infinity", {"chat_ac2faf332d5e"}),
    ("special characters force quoting parameters", {"ecc7763d-15da-4799-acc5-7fe35c34cf0f"}),
    ("tab characters replaced by spaces column", {"string-methods-cd5e"}),
    ("redirect stdout to file contextlib", {"9c38e986-6d2f-4227-a2c2-3602f9c9cc5d"}),
    ("decode huge files in one step", {"244453cc-320c-4262-a5aa-57721339b10d"}),
    ("Hyrum's law url parser", {"chat_30f4dd32c4b0"}),
    ("tab completion arbitrary code getattr", {"rlcompleter-bc26"}),
    ("hardlink duplicated pyc files", {"compileall-b5a3"}),
    # another form of a word than the talk's
    ("fold email headers syntactic break", {"2025-01-08-email-header-bf"}),
    ("http request parts separating blank lines", {"http-server-d1d5"}),
    ("codec registries byte order marks denylist", {"chat_18b4c4940143", "chat_0edd4730ad24"}),
    ("goldilocks child watchers polling pidfd", {"2025-08-16-asyncio-unix-events-4c"}),
    ("interned string dictionaries sax parser", {"f3b911ce-4214-4a43-a08d-717edde20b88"}),
    ("input sources byte streams identifiers", {"xml-sax-xmlreader-df81"}),
    # one word that is nowhere in the talk: attachment, terminal, html, mbox, git
    ("payload decode logic table attachment", {"2025-07-11-email-message-77"}),
    ("optparse help formatter columns terminal", {"chat_4e6bacac8b3a"}),
    ("default content type digest html", {"email-message-91ea"}),
    ("email parser mbox file headersonly", {"2025-08-10-email-parser-60"}),
    ("git unified diff context lines", {"chat_09e31c90c677"}),
    # wrong case, and an accent that the talk has not
    ("GRAPHLIB PREDECESSORS CYCLE", {"graphlib-06f4"}),
    ("strptime LOCALE weekday NAMES", {"chat_5a5afaadf017"}),
    ("List2CmdLine backslash QUOTATION marks", {"chat_0bf6293887d9"}),
    ("MOZILLA cookies.txt Lynx", {"2025-08-18-http-cookiejar-cb"}),
    ("Giampaolo Rodolà ftp tls", {"346f592a-5424-48ea-a9c3-73b257406fd8"}),
    # a piece of the id, or a tag
    ("saxexception 00d3c3e4", {"00d3c3e4-28ca-4ef4-ac00-dbde82fa1b9c"}),
    ("email headerregistry 82cb", {"email-headerregistry-82cb"}),
    ("pickle chat_9ec0d860", {"chat_9ec0d860a12b"}),
    ("getopt course", {"chat_c1da5627462c"}),
    # one word misspelt
    ("ancilary data trailing padding", {"socket-57c0"}),
    ("xmlrpc gzip content enocding", {"chat_d69f36cf02e7"}),
    ("tab nany ambiguous indentation", {"699ce1c4-6f82-4de5-a255-840331f6eb91"}),
    ("modulefinder mising star imports", {"chat_fe06ef6c385e"}),
]
"""What is typed, and the talks that are what is meant: one of them must be among the first five found."""
