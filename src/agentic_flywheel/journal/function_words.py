"""Lists the words that hold sentences together, of a dozen languages: a question is not about them."""

# ruff: noqa: E501, RUF001
# A line of words may be long, and letters of other alphabets look like Latin ones.

from collections.abc import Sequence

from agentic_flywheel.journal.folding import fold

_LISTS = (  # a line a language; among equals the first is taken
    # English
    "a an the this that these those and or but if than then so as at by for from in into of off on onto out over to up"
    " with about after before during between i me my mine we us our you your he him his she her hers it its they them"
    " their who whom whose which what when where why how is are was were be been being am do does did doing done have"
    " has had having will would can could should shall may might must not no any some there here just also very too"
    " s t d m ll re ve don didn doesn isn aren wasn weren won wouldn couldn shouldn hasn haven hadn cant dont didnt"
    " many much please tell",
    # German
    "der die das den dem des ein eine einen einem einer eines und oder aber wenn als dann so an am auf aus bei bis durch"
    " für gegen in im ins mit nach ohne über um unter von vom vor zu zum zur ich mich mir mein meine du dich dir dein"
    " deine er ihn ihm sein seine sie ihr ihre ihren es wir uns unser unsere euch wer wen wem was wann wo wohin woher"
    " warum wieso wie welche welcher welches ist sind war waren sei bin bist hat habe haben hatte hatten wird werden"
    " wurde wurden kann können konnte soll sollte muss darf nicht kein keine auch noch nur schon sehr da dass hier",
    # French
    "le la les l un une des du de d et ou mais si que qu qui quoi dont où quand comment pourquoi quel quelle quels"
    " quelles à au aux avec chez dans en entre par pour sans sous sur vers je j me m moi mon ma mes tu te t ton ta tes il"
    " elle lui son sa ses on nous notre nos vous votre vos ils elles leur leurs se s y ce c cette ces cet est es suis"
    " sont était étaient été être a as ai ont avait avoir n ne pas plus aussi très fait font sera",
    # Spanish
    "el la los las un una unos unas de del y e o u pero si que qué quien quién cuál cuáles cuando cuándo donde dónde"
    " como cómo porque por para con sin sobre entre hasta desde en a al yo me mi mí mis tú te tu tus él ella ello lo le"
    " les se su sus nos nosotros nuestro nuestra vosotros ellos ellas es son era eran fue fueron ser está están estaba"
    " estar he ha han había haber no ni más muy también ya esto esta este estos estas eso esa ese",
    # Italian
    "il lo la i gli le l un uno una di del dello della dei degli delle e ed o ma se che chi cui quale quali quando dove"
    " come perché cosa a al allo alla ai agli alle da dal dalla dai in nel nella nei con su sul sulla per tra fra io mi me"
    " mio mia tu ti te tuo tua lui lei suo sua noi ci nostro voi vi loro si è sono era erano essere stato ha hanno ho"
    " aveva avere non più anche molto questo questa questi quello quella",
    # Portuguese
    "o a os as um uma uns umas de do da dos das e ou mas se que quem qual quais quando onde como porquê porque por pelo"
    " pela para com sem sobre entre até em no na nos nas ao à aos eu me mim meu minha tu te teu tua você ele ela lhe seu"
    " sua seus suas nós nosso nossa eles elas é são era eram foi foram ser está estão estava estar tem têm tinha ter não"
    " mais muito também já isto este esta esse essa isso",
    # Dutch
    "de het een en of maar als dan dat die dit deze wie wat wanneer waar waarom hoe welk welke aan bij door in met naar"
    " om onder op over tot uit van voor zonder tegen te ik me mij mijn je jij jou jouw hij hem zijn zij ze haar wij we"
    " ons onze jullie hun is was waren ben bent heeft heb hebben had hadden wordt worden werd kan kon zal zou moet niet"
    " geen ook nog al er hier",
    # Swedish
    "en ett den det de dem och eller men om att som vem vad när var varför hur vilken vilket vilka av från för i in med"
    " mot på till under ut utan vid över jag mig min mitt mina du dig din ditt han honom hans hon henne hennes vi oss vår"
    " ni er deras sig sin är vara varit blev bli har hade ha kan kunde ska skulle inte också mycket här där då",
    # Danish and Norwegian
    "en et ei den det de dem og eller men hvis at som hvem hva hvad når hvor hvorfor hvordan hvilken hvilke af av fra for"
    " i ind inn med mot mod på til under ut ud uten uden ved over om jeg mig meg min mit mitt mine du dig deg din han"
    " ham hans hun hende henne hendes vi os oss vår vores deres seg sig er var være vært blev ble har havde hadde kan"
    " kunne skal skulle ikke også meget her der da",
    # Polish
    "i a o u w we z ze za do na od po pod przed przy przez dla bez nad oraz lub ale jeśli że który która które kto co"
    " kiedy gdzie jak dlaczego czemu jaki jaka jakie czy ja mnie mi mój moja ty ciebie ci twój on go mu jego ona jej ono"
    " my nas nam nasz wy was oni ich im się jest są był była było byli być ma mają miał nie tak też już tylko to ten ta"
    " te tego tej",
    # Finnish
    "ja tai mutta jos että kun kuin joka jotka mikä mitä kuka ketkä milloin missä mistä mihin miksi miten minä minun"
    " minua sinä sinun hän hänen se sen me meidän te teidän he heidän ne on oli ovat olivat olla ollut ei eivät en myös"
    " jo vain tämä tuo nämä kanssa",
    # Turkish
    "ve veya ile ama eğer ki bu şu o bir kim ne zaman nerede neden niçin nasıl hangi için gibi kadar da de mi mı mu mü"
    " ben bana benim beni sen sana senin onu ona onun biz bizim siz sizin onlar değil var yok çok daha idi",
    # Russian
    "и а но или если что чтобы кто когда где куда откуда почему зачем как какой какая какие который которая в во на с со"
    " к ко от до из за по под над при для без о об у я мне меня мой моя ты тебе тебя твой он его ему она её ей оно мы нас"
    " нам наш вы вас вам ваш они их им себя это этот эта был была было были быть есть не ни же ли бы тоже уже",
)

_LANGUAGES = [frozenset(fold(words).split()) for words in _LISTS]


def without_function_words(words: Sequence[str]) -> list[str]:
    """The words (folded) that are none in the language that most of them are of; all of them if nothing is left."""
    most = max(_LANGUAGES, key=lambda listed: sum(word in listed for word in words))
    return [word for word in words if word not in most] or [*words]
