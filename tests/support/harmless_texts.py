"""Harmless texts written by hand: they name credentials and hold none."""

from typing import Any

PROSE = """
The password is wrong.
the password is too short, it must be at least 12 characters
password: required
Password: must contain a digit, a capital letter and 8-64 characters
I forgot my password again; can you send me the reset link?
Your API key is stored in the keychain.
The token is case-sensitive and base64-encoded.
token: string
token: utf-8
The secret: patience.
the secret is to let the dough rest for 24h
Secret ingredient: 2tbsp of soy sauce
Authorization: required for every route under /v1
authorization: role-based
Authentication: OAuth2 with PKCE
Auth: none
The key is under the mat.
Key: value pairs are separated by commas
API key: see the settings page
Passwords are hashed with argon2id before they are stored.
password = the hash of what you typed, never the text itself
A token is four characters of compact JSON.
max_tokens: 4096, temperature: 0.7
Use the access token: it expires after 3600s
Set the environment variable OPENAI_API_KEY before you start.
Set OPENAI_API_KEY to your key.
Where do I find my client secret?
The client secret: where is it?
the pwd is /home/ana/projects
pwd: command not found
Run pwd; it prints /usr/local/lib/python3.11
passphrase: a sentence is better than a word
The tokenizer splits "password" into two tokens: pass, word
Token 17: ' harvest', logprob -0.02
The secretary: Ms. Jones, room 204b
Bearer tokens are sent in the Authorization header.
Bearer of good news: the harvest is in.
Basic authentication sends the password with every request.
Basic understanding of Kubernetes secrets required
password: str = the user's password
Is the password "password" still allowed?
Error: invalid_api_key (401)
Error 401: Incorrect API key provided: sk-***************************abcd. You can find your API key online.
password authentication failed for user "ana"
FATAL: password authentication failed for user "postgres"
NOAUTH Authentication required.
WRONGPASS invalid username-password pair or user is disabled.
Warning: Using a password with '-a' option on the command line interface may not be safe.
Enter password:
Enter passphrase for key '/home/ana/.ssh/id_ed25519':
ana@host's password:
[sudo] password for ana:
Permission denied (publickey,password).
Password: ********
password: <hidden>
password: (unchanged)
password: n/a
New password: too short
token: expired at 2026-11-05T12:00:00Z
access token: valid until 12:30
api_key: not set
API_KEY: missing
secret: false
Credentials: none configured
connection string: see appsettings.json
The connection string: host, port and database, separated by semicolons
Le mot de passe est obligatoire : 8 caractères au moins
Mot de passe : oublié ?
Das Passwort: mindestens 8 Zeichen
Passwort vergessen? Token abgelaufen.
La contraseña: obligatoria
Clave secreta: no definida
パスワード: 必須
token: строка
What is the difference between an access token and a refresh token?
Two kinds of key: public and private
The private key: keep it safe, never share it
private key: /etc/ssl/private/server.key
private_key: ~/.ssh/id_ed25519
secret name: db-credentials
The secret "db-password" not found in namespace "default"
token count: 1234, token limit: 8192
Tokens: 1234 in, 567 out
password policy: NIST-800-63B
password hash: bcrypt, cost 12
Password strength: 87/100
password_reset_url: https://example.org/reset
API keys (3 of 10 used)
session key: agentic_flywheel:session:north-field
key=value
a=b, key=c, token=d
the token=value pairs of a header
Does `password=` accept an empty string?
The header is `Authorization: Bearer <token>`.
Replace YOUR_API_KEY with your key.
pass: 12, fail: 0
PASS: test_password_is_hashed (0.02s)
pass = 1, failed = 0
first pass: 120ms, second pass: 80ms
He will pass: the exam was easy.
token_type: bearer, expires_in: 3600
csrf token: missing or incorrect
next_token: eyJzdGFydCI6MTAwfQ
I changed the password yesterday: now it works.
Password=yes or password=no?
The passcode is the same as last year.
Passkeys replace passwords: nothing to remember.
secret: Kubernetes object of type Opaque
secrets: inherit
tokens: [1, 2, 3]
The auth token is refreshed every 15min by the sidecar2 process.
The API key is v2-only and read-only.
The secret is AES-256-GCM encrypted at rest.
The token is JWT-shaped, HS256-signed and lasts 30min.
""".strip().splitlines()

CODE_LINES = """
password = os.environ["DB_PASSWORD"]
password = os.environ.get("DB_PASSWORD", "")
api_key=settings.key
api_key = settings.openai_api_key_v2
client = OpenAI(api_key=os.getenv("OPENAI_API_KEY"))
const apiKey = process.env.API_KEY;
const token = req.headers.authorization?.split(' ')[1];
password = getpass.getpass("Password: ")
password = input("Password: ")
String password = request.getParameter("password");
token = response.json()["access_token"]
self.password = password
self.token = token or self._default_token
this.clientSecret = options.clientSecret;
secret = secrets.token_urlsafe(32)
secret_key = Fernet.generate_key()
api_key = get_secret("openai-api-key")
PASSWORD=$(cat /run/secrets/db_password)
PASSWORD="${DB_PASSWORD:?must be set}"
export API_KEY=$SECRET_FROM_VAULT
export GITHUB_TOKEN="$(gh auth token)"
password: ${{ secrets.NPM_TOKEN }}
GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}
password = var.db_password
password = "${var.db_password}"
password = random_password.db.result
password = data.vault_generic_secret.db.data["password"]
password: {{ .Values.db.password }}
password: "{{ vault_db_password }}"
headers = {"Authorization": f"Bearer {token}"}
headers: { Authorization: `Bearer ${token}` }
h.Set("Authorization", "Bearer "+token)
req.Header.Set("X-Api-Key", cfg.APIKey)
if password == user.password_hash:
if token != expected_token2:
assert token == "token"
password == "secret"
if (password === confirmPassword) {
while token := next_token():
for token in tokens:
token=token
login(user, password=password)
def login(user: str, password: str) -> Token:
def f(token: str = "", api_key: str | None = None):
function login(user: string, password: string): Promise<Token> {
func Login(user, password string) (token string, err error)
password_field = forms.CharField(widget=forms.PasswordInput)
password = Column(String(128), nullable=False)
password VARCHAR(255) NOT NULL,
ALTER TABLE users ADD COLUMN password_hash TEXT;
SELECT password FROM users WHERE token = :token
SELECT * FROM users WHERE password = crypt($1, password)
password = hashlib.sha256(raw.encode()).hexdigest()
parser.add_argument("--password", help="the password", default=None)
parser.add_argument("--api-key", required=True)
tool --password PASSWORD --token TOKEN
tool --password-file /run/secrets/pw
tool --token-stdin < token.txt
<input type="password" name="password" placeholder="Password" autocomplete="current-password">
<label for="password">Password</label>
<PasswordField label="Password" value={password} onChange={setPassword} />
<password>string</password>
const [password, setPassword] = useState("");
export const API_KEY_HEADER = "X-API-Key";
TOKEN_URL = "https://auth.example.org/oauth/token"
PASSWORD_FIELD = "password"
SECRET_NAME=db-credentials
API_KEY_ENV = "OPENAI_API_KEY"
token_type = tokenize.NAME
token = tok.type2
tokens = tokenizer.encode(text)
eos_token = "<|endoftext|>"
pad_token: "[PAD]"
special_tokens = {"bos_token": "<s>", "eos_token": "</s>"}
tokenizer = AutoTokenizer.from_pretrained("meta-llama/Llama-3.1-8B-Instruct")
key = f"{prefix}:session:{session_id}"
key=lambda item: item.key2
sorted(items, key=operator.itemgetter(1))
key = "agentic_flywheel:history:2026-11-05"
cache_key = "user:1234:profile:v2:en-US"
primary_key=True, foreign_key="users.id2"
partition_key = "tenant#42"
<li key={item.id}>{item.name}</li>
keyboard = Keyboard(layout="qwerty123")
monkey=banana42
public_key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
auth = HTTPBasicAuth(user, password)
auth=("user", "pass")
requests.get(url, auth=(user, token))
conn = psycopg.connect(host=host, password=password, sslmode="require")
url = f"redis://:{password}@{host}:6379"
url = "postgresql://%s:%s@%s/%s" % (user, password, host, name)
DATABASE_URL=postgresql://user:password@localhost:5432/db
secretKeyRef: {name: db-credentials, key: password}
secretName: tls-example-org-2026
- name: DB_PASSWORD
permissions: {id-token: write, contents: read}
token: ${{ github.token }}
with: {token: "${{ secrets.PAT }}"}
api_key: !vault |
password: !ENV DB_PASSWORD
password: *default_password
password: &pw null
secret = None
token = undefined;
password = nil
api_key = ""
api_key = None  # read from the environment
password = None if anonymous else ask()
password = password or prompt()
password = new String(chars);
password = cfg->password;
password = ctx::password();
password := os.Getenv("DB_PASSWORD")
let token = std::env::var("API_TOKEN").expect("API_TOKEN must be set");
let password: String = read()?;
private val apiKey: String by lazy { BuildConfig.API_KEY }
@Value("${db.password}") private String password;
$password = $_POST['password'];
$api_key = getenv('API_KEY');
token = Token(TokenType.STRING, "abc123", 1)
token_count = len(tokens)
PASSWORD_MIN_LENGTH = 12
MAX_TOKENS=20000
"use_auth_token": true
"password": "bcrypt"
"password": password123_variable,
authorization = "Bearer"
--header "Authorization: Bearer $GITHUB_TOKEN"
curl -u "$USER:$PASSWORD" https://example.org
curl -u ana https://example.org
docker run -u 1000:1000 -e API_KEY image
ssh-keygen -t ed25519 -N "" -f key
mysql -u root -p
psql "host=localhost user=ana password=$PGPASSWORD"
secret: { type: "string", minLength: 16 }
validates :password, length: { minimum: 12 }, presence: true
it("rejects a wrong password", async () => {
def test_password_is_never_logged(): ...
logger.info("token=%s", mask(token))
print(f"{token=}")
raise ValueError("password must be at least 8 characters")
raise ValueError(f"token={token!r} is wrong")
throw new Error("Missing api_key: set API_KEY");
""".strip().splitlines()

CODE_BLOCKS = [
    "def connect(\n    host: str,\n    password: str | None = None,\n    token: SecretStr = Field(...),\n): ...",
    "class Settings(BaseSettings):\n    api_key: SecretStr\n    db_password: str = ''\n    token_url: HttpUrl",
    "password = (\n    settings.password\n)",
    "env:\n  - name: DB_PASSWORD\n    valueFrom:\n      secretKeyRef:\n        name: db\n        key: password",
    "password:\n  type: string\n  format: password\n  minLength: 12",
    "secrets:\n  db_password:\n    file: ./db_password.txt",
]

PLACEHOLDERS = """
OPENAI_API_KEY=
OPENAI_API_KEY=your-api-key-here
OPENAI_API_KEY=sk-your-key
API_KEY=YOUR_API_KEY
API_KEY=<your key>
API_KEY="<insert key here>"
API_KEY=xxx
API_KEY=xxxxxxxxxxxxxxxx
API_KEY=XXXX-XXXX-XXXX
API_KEY=...
API_KEY=…
API_KEY=changeme
DB_PASSWORD=change_me
DB_PASSWORD=change-me-please
DB_PASSWORD=password
DB_PASSWORD=secret
DB_PASSWORD=****
DB_PASSWORD=${DB_PASSWORD}
DB_PASSWORD=%DB_PASSWORD%
DB_PASSWORD=$DB_PASSWORD
DB_PASSWORD={{db_password}}
DB_PASSWORD=[password]
DB_PASSWORD=(none)
DB_PASSWORD=null
DB_PASSWORD=example
DB_PASSWORD=replace_with_a_strong_password
DB_PASSWORD=REPLACE_ME
DB_PASSWORD=mysecretpassword
TOKEN=todo
TOKEN=tbd
TOKEN=dummy
TOKEN=fake-token
TOKEN=test-token
TOKEN=my-token
TOKEN=<TOKEN>
SECRET_KEY=insert-your-secret-key
SECRET_KEY=dev
SECRET_KEY=__SECRET_KEY__
SECRET_KEY=REDACTED
SECRET_KEY=[REDACTED]
SECRET_KEY=[redacted: secret]
"password": ""
"password": "********"
"password": "••••••••"
"password": "<password>"
"password": "string"
"password": "required"
"password": null
"password": true
"api_key": "YOUR_API_KEY"
"api_key": "your_api_key_here"
"api_key": "{{api_key}}"
"api_key": "$API_KEY"
"api_key": "env:API_KEY"
"api_key": "op://vault/item/api-key"
"api_key": "vault:secret/data/app#api_key"
"api_key": "file:///run/secrets/api_key"
"token": "..."
"token": "<your token>"
"token": "placeholder"
"client_secret": "the client's secret"
"client_secret": "xxxxxxxx"
"authorization": "Bearer <token>"
"authorization": "Bearer ${TOKEN}"
"authorization": "Bearer YOUR_TOKEN"
Authorization: Basic <base64 of user:password>
Authorization: Bearer [token]
Authorization: Bearer …
-H "Authorization: Bearer YOUR_API_KEY"
-H "x-api-key: $ANTHROPIC_API_KEY"
mysql://user:pass@host/db
mysql://USER:PASSWORD@HOST/DB
redis://:password@localhost:6379/0
https://user:***@example.org
https://username:token@example.org
amqp://guest:guest@localhost:5672/
mongodb://<user>:<password>@cluster0.example.org
""".strip().splitlines()

TYPES = """
{"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password"]}
{"password": {"type": "string", "description": "The user's password", "minLength": 8}}
{"name": "api_key", "in": "header", "required": true, "schema": {"type": "string"}}
{"securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}}
{"api_key": "string", "max_tokens": "integer"}
{"apiKey": "str", "secret": "bytes", "token": "Optional[str]"}
interface Login { password: string; token?: string; apiKey: string | null }
type Credentials = { accessToken: string, refreshToken: string }
message Login { string password = 1; string token = 2; }
struct Login { password: String, token: Option<String> }
@dataclass class Login: password: str; token: str = ""
password: z.string().min(8)
password: Joi.string().required()
password: yup.string().min(8).required("Password is required")
password: Mapped[str] = mapped_column(String(60))
api_key: Annotated[str, Header()]
api_key: Optional[str] = None
token: Final = "token"
password: { type: String, required: true, select: false }
password = models.CharField(max_length=128)
password = serializers.CharField(write_only=True)
| `password` | string | required | The password |
| api_key | str | the key, or `None` |
- `token` (string): the access token
- password (str): The password to use. Defaults to None.
:param password: the password of the account
:param token: token2 of the pair
@param apiKey The API key.
Args: token: The token to check. api_key: Key of the service.
  --password TEXT  The password.  [required]
  --token TEXT     An access token (env var: API_TOKEN)
  -p, --password=PASSWORD   password to use
REDIS_PASSWORD (none): the password of Redis
password: SecretStr = SecretStr("")
password: bytes = b""
password?: string
password: Option<&str>
password TEXT NOT NULL
password varchar(255)
token: CharField[64]
secret_key: base64
api_key: uuid4
password: sha256
token: Token2
password: Password1Type
""".strip().splitlines()


OBJECTS: list[dict[str, Any]] = [
    {"max_tokens": 20000, "token_count": 12, "tokenizer": "cl100k_base", "total_tokens": 99},
    {"password_reset_url": "https://example.org/reset?id=4", "secretary": "Ms. Jones, 204b-North"},
    {"token": "Hello", "logprob": -0.01, "bytes": [72, 101]},
    {"content": [{"token": " harvest2", "logprob": -1.5}, {"token": "##ing", "logprob": -2}]},
    {"tokens": ["the", "north", "field"], "keys": ["a1b2c3d4e5f6a7b8"]},
    {"password": ["This field is required."], "token": ["Invalid token."]},
    {"password": "This password is too short. It must contain at least 8 characters."},
    {"errors": {"password": "must be at least 8 characters", "api_key": "is missing"}},
    {"password": "", "api_key": None, "secret": False, "token": 12},
    {"password": "********", "api_key": "sk-...abcd", "secret": "<hidden>"},
    {"password": "${DB_PASSWORD}", "api_key": "$API_KEY", "secret": "{{ secret }}"},
    {"api_key": "os.environ['API_KEY']", "token": "process.env.TOKEN"},
    {"password": "[redacted: password]", "authorization": "[REDACTED]"},
    {"password": "required", "api_key": "string", "authorization": "Bearer"},
    {"authorization": "Bearer {token}", "x-api-key": "YOUR_API_KEY"},
    {"authorization": "https://auth.example.org/authorize"},
    {"authorization": "oauth2", "authentication": "basic"},
    {"next_page_token": "CAUQAA2f8a9b7c6d5e4f", "continuation_token": "1!96!MDAwMDIzIWEvYi8"},
    {"nextToken": "eyJzdGFydCI6MTAwLCJlbmQiOjIwMH0", "pageToken": "a8f3Zk29Lq0Pz81"},
    {"idempotency_key": "5f2b8c1e-9d3a-4c7b-8e2f-1a2b3c4d5e6f", "partition_key": "tenant#42"},
    {"primary_key": "id", "foreign_key": "users.id", "sort_key": "2026-11-05T12:00:00Z"},
    {"public_key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4f5wg2l2hKsTeNem"},
    {"key": "agentic_flywheel:session:7d9f8b6c5d", "keys": 3, "key_id": "5f2b8c1e9d3a"},
    {"access_key_id": "AKIAIOSFODNN7" + "EXAMPLE"},
    {"secret_name": "db-credentials-2026", "secret_arn": "arn:aws:secretsmanager:eu-west-1:1:secret:a-AbCdEf"},
    {"private_key": "/etc/ssl/private/server.pem", "private_key_path": "~/.ssh/id_ed25519"},
    {"connection_string": "redis://localhost:6379/0"},
    {"password_hash": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"},
    {"password": {"type": "string", "minLength": 8}},
    {"has_password": "yes", "forgot_password": "Forgot your password?", "is_secret": "true"},
    {"labels": {"password": "Password", "token": "Token", "api_key": "API key", "secret": "Secret"}},
    {"labels": {"password": "Mot de passe", "confirm_password": "Confirmez le mot de passe"}},
    {"pass": "12 of 14", "first_pass": "120ms", "passed": "true"},
    {"token_type": "Bearer", "expires_in": 3600, "scope": "openid profile"},
    {"usage": {"input_tokens": 5, "output_tokens": 6}, "stop_reason": "max_tokens"},
    {"eos_token": "<|endoftext|>", "pad_token": "[PAD]", "mask_token": "<mask>"},
    {"field": "password", "rule": "min:8", "hint": "password: required"},
    {"keyboard": "qwerty-1234-layout", "monkey": "banana42banana42"},
    {"secret": "secret", "password": "password", "token": "token", "api_key": "api_key"},
    {"api_key": "openai-api-key", "password": "db-password", "client_secret": "oauth.client_secret"},
    {"csrf_token": "missing", "auth": "none", "credentials": "include"},
    {"credentials": "same-origin", "auth": {"type": "basic"}},
    {"token_endpoint": "https://auth.example.org/token", "authorization_endpoint": "https://auth.example.org/a"},
    {"session_token_budget": "2000", "tokenId": "Qm2f8a9b7c6d"},
]
