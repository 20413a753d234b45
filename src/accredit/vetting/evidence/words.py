"""The words of institutions' names in the languages that they are written in, after transliteration to ASCII.

A word is brought to one form: ``universidade`` and ``uniwersytet`` are ``university``. Stems are matched at a word's
start, the longest first.
"""

import re
from functools import lru_cache

import pycountry
from anyascii import anyascii

TYPES = frozenset(
    {"university", "college", "institute", "school", "academy", "faculty", "polytechnic", "seminary", "conservatory"}
)
"""Words that say what kind of institution of education it is."""

HIGHER = frozenset({"university", "college", "institute", "polytechnic", "faculty"})
"""Types that institutions of higher education take from each other: colleges become universities."""

_STEMS = {
    "university": (
        "univers", "unversi", "univeris", "univesi", "univar",
        "uniwersyt", "egyetem", "yliopist", "ylioppilas", "ulikool", "sveucilist",
        "jamia", "jamea", "gamea", "daigaku", "daehag", "daehak", "daxue", "panepist", "vishwavid", "vishvavid",
        "viswavid", "vidyapee", "vidyapith", "vidapee", "daneshg", "mahawit", "mahavit", "hochschul", "hogeschool",
        "hogskol", "hojskole", "hoyskole", "hoegskol", "fachhochschule", "hoegeschool", "haskol", "augstskol",
        "korgkool", "korkeakoul", "ammattikork", "yuksekokul", "vyssh", "vuz", "oniversit", "iunivers", "unibertsit",
        "prifysgol", "ollscoil", "akademya", "sajakan",
    ),
    "college": ("colleg", "colegi", "cegep", "kolej", "kolegi", "kolledz", "kolledj", "kollej", "kolegj", "mahavidyal",
                "mahabidyal", "colelg", "koledz", "kolehiyo", "xueyuan"),
    "institute": ("institut", "instytut", "intezet", "istitut", "inistitut", "instiut", "institu", "insitut", "enstitu",
                  "yanjiusuo", "iinstitut"),
    "school": ("school", "schule", "schulen", "ecole", "escuela", "escola", "scuola", "skole", "skola", "skolen",
               "skoly", "szkol", "okul", "lisesi", "gymnas", "gimnaz", "gimnas", "lycee", "liceo", "lyceu", "liceu",
               "instituto de educacion secundaria", "koulu", "lukio", "iskola", "grundschule", "gesamtschule", "shkol",
               "sekolah", "eskola", "ysgol", "scoil", "vidyalay", "madras"),
    "academy": ("academ", "akadem", "acadam", "accadem"),
    "faculty": ("facul", "fakult", "facolt"),
    "polytechnic": ("polytech", "politec", "politek", "politeh", "polytek", "politech"),
    "conservatory": ("conservat", "konservat"),
    "seminary": ("seminar", "semina", "yeshiv", "theologicum"),
    # "Technical University of X" and "X University of Technology" are translations of one name.
    "technology": ("techn", "tecnic", "tecnolog", "tehnic", "tehnisk", "tehnolog", "teknik", "teknis", "teknolog",
                   "tekhnic", "tekhnolog", "tekniln", "texnik", "texnolog", "tchnol"),
    "medical": ("medic", "mediz", "medyc", "meditsin", "medici", "tip"),
    "science": ("scien", "cienc", "scienz", "ciencia", "wissenschaft", "stiint", "nauk", "vitenskap", "vetenskap",
                "sains", "ilimler", "bilim"),
    "applied": ("appli", "aplicad", "applica", "angewandt", "terapan", "stosowan"),
    "engineering": ("engineer", "ingenier", "ingenieur", "engenh", "ingegn", "muhend", "inzenyr", "inzhen", "inzynier"),
    "agricultural": ("agricult", "agrar", "agric", "pertanian", "agronom", "landwirt", "rolnicz", "ziraat"),
    "economics": ("econom", "ekonom", "okonom", "oekonom", "wirtschaft", "iktisat"),
    "business": ("busines", "negoci", "betriebs", "commerce", "comerc", "comercial", "isletme"),
    "management": ("manag", "administra", "gestion", "gestao", "yonetim"),
    "national": ("national", "nacional", "nationa", "nazional", "narodow", "milli", "natsional", "naciona", "nasional",
                 "kebangsaan"),
    "state": ("state", "estatal", "estadual", "statal", "gosudarstv", "panstwow", "staatlich", "devlet", "derzhavn",
              "dovlet", "davlat", "negeri"),
    "federal": ("federal",),
    "international": ("international", "internacional", "internazional", "uluslararas", "mezhdunarod", "antarabangsa",
                      "internasional", "internat"),
    "catholic": ("catholic", "catolic", "katholi", "cattolic", "katolic", "katolik", "catholiq"),
    "islamic": ("islam",),
    "christian": ("christ", "cristian"),
    "autonomous": ("autonom",),
    "pedagogical": ("pedagog",),
    "education": ("educa", "enseign", "bildung", "erziehung", "pendidikan", "obrazov", "egitim", "ensino", "ensenanz",
                  "edukas"),
    "law": ("law", "droit", "derecho", "direito", "rechts", "hukum", "juridic", "yurid", "jurid"),
    "music": ("music", "musik", "musiqu", "muzik", "muzycz"),
    "art": ("arts", "kunst", "artes", "sanat", "sztuk", "umeni", "umjet"),
    "theology": ("theolog", "teolog"),
    "health": ("health", "sante", "salud", "saude", "gesundheit", "kesehatan", "saglik"),
    "central": ("central", "centro", "merkez", "zentral"),
    "federation": ("federat",),
    "district": ("district", "distrik"),
}  # fmt: skip

_WORDS = {
    "univ": "university", "uni": "university", "uniw": "university", "unv": "university", "u": "university",
    "universidad": "university", "tu": "technology university", "th": "technology university", "fh": "university",
    "inst": "institute", "coll": "college", "acad": "academy", "sch": "school", "schl": "school", "fac": "faculty",
    "polytech": "polytechnic", "poly": "polytechnic", "tech": "technology", "sci": "science", "med": "medical",
    "intl": "international", "int": "international", "natl": "national", "nat": "national", "engg": "engineering",
    "eng": "engineering", "mgmt": "management", "mgt": "management", "agri": "agricultural", "edu": "education",
    "st": "saint", "ste": "saint", "san": "saint", "santa": "saint", "santo": "saint", "sankt": "saint",
    "sao": "saint", "sainte": "saint", "sint": "saint", "szent": "saint", "dist": "district", "isd": "school district",
    "usd": "school district", "hs": "high school", "gov": "government", "govt": "government", "dept": "department",
    "cnty": "county", "co": "county", "twp": "township", "medicine": "medical", "medicina": "medical",
    "art": "art", "sciences": "science", "public": "public", "centre": "center", "centro": "center",
    "instituts": "institute", "tip": "medical", "nord": "north", "sud": "south", "sur": "south", "sul": "south",
    "norte": "north", "northern": "north", "southern": "south", "eastern": "east", "western": "west",
    "est": "east", "este": "east", "leste": "east", "ost": "east", "nauk": "science",
    "moscow": "moscow", "moskva": "moscow", "moskau": "moscow", "moskovskiy": "moscow",
    "moskovskij": "moscow", "moskovskii": "moscow",
    "munchen": "munich", "muenchen": "munich", "koln": "cologne", "koeln": "cologne", "wien": "vienna",
    "roma": "rome", "milano": "milan", "torino": "turin", "venezia": "venice", "firenze": "florence",
    "napoli": "naples", "genova": "genoa", "padova": "padua", "praha": "prague", "warszawa": "warsaw",
    "warszawski": "warsaw", "krakow": "cracow", "lisboa": "lisbon", "sevilla": "seville", "zaragoza": "saragossa",
    "luzern": "lucerne", "tirane": "tirana", "corse": "corsica", "vrije": "free", "libre": "free", "freie": "free",
    "geneve": "geneva", "genf": "geneva", "zurich": "zurich", "zuerich": "zurich", "basle": "basel", "bern": "berne",
    "nurnberg": "nuremberg", "nuernberg": "nuremberg", "braunschweig": "brunswick", "hannover": "hanover",
    "kobenhavn": "copenhagen", "kobenhavns": "copenhagen", "goteborg": "gothenburg", "goteborgs": "gothenburg",
    "athinon": "athens", "athina": "athens", "thessalonikis": "thessaloniki", "beograd": "belgrade",
    "beogradu": "belgrade", "bucuresti": "bucharest", "kiev": "kyiv", "kiyv": "kyiv", "lviv": "lviv", "lvov": "lviv",
    "anvers": "antwerp", "antwerpen": "antwerp", "gand": "ghent", "gent": "ghent", "bruxelles": "brussels",
    "brussel": "brussels", "louvain": "leuven", "haag": "hague", "espana": "spain", "brasil": "brazil",
    "italia": "italy", "deutschland": "germany", "chung": "zhong", "alexandrie": "alexandria", "cairo": "cairo",
    "alger": "algiers", "tunis": "tunis", "maroc": "morocco", "strasbourg": "strasbourg", "tokio": "tokyo",
    "peking": "beijing", "osterreich": "austria", "schweiz": "switzerland", "mexico": "mexico",
}  # fmt: skip

STOP_WORDS = frozenset(
    "a al an and at as by d da das de degli dei del della delle den der des di do dos du e ed ee el et for fur "
    "gli i il im in of on the la las le les los l lo na nad o os pour para por s sul to u und un une van vom von "
    "y ve w we z ze zu zum zur für og och ja en ki ka ke dhe te si din dan pri".split()
)

LEGAL_FORMS = frozenset(
    "ltd limited inc incorporated llc llp lllp corp corporation plc gmbh ggmbh mbh ohg vof srl srls sarl sasu "
    "eurl ltda limitada eirl pty pvt sdn pjsc jsc ojsc spzoo dooel eood fzco fze wll company gesellschaft "
    "unlimited".split()
)
"""Words that make a name a company's, wherever they stand."""

LAST_LEGAL_FORMS = frozenset(
    "ag kg sa ab as se spa co cv lp sl sc kk pt ug bv nv oy oyj aps asa sas cia bhd pte ooo zao oao pao sro kft "
    "zrt doo ood ead tbk fzc".split()
)
"""Words that do so at a name's end."""

TRADE = frozenset(
    "consulting consultancy consultants consultant solutions software shop shopping outlet ventures holding "
    "holdings traders advertising agency logistics insurance realty casino betting seo enterprises motors "
    "automotive wholesale restaurant cafe coffee bakery resort airlines builders plumbing investments gym salon "
    "cleaning catering brewery winery supplies mall supermarket rental rentals leasing gaming productions apparel "
    "jewelry furniture crypto blockchain nft dealer dealers reseller resellers discount discounts deals essays "
    "essay homework diploma diplomas degrees staffing recruiting recruitment outsourcing freelance startup gmail "
    "webshop saas hosting beratung vertrieb loja tienda negozio boutique butik admissions boosting tuition "
    "franchise".split()
)
"""Words of trade, wherever they stand."""

TRADE_ALONE = frozenset(
    "store venture capital trading marketing bank banking manufacturing retail hotel hotels travel tours "
    "construction electronics pharmaceuticals pharma biotech investment finance financial fitness spa supply "
    "market mining petroleum toys publishing publishers importers exporters vineyard vineyards airline messenger "
    "pickles organics video foods kitchen healthcare works motors energy telecom wireless games entertainment "
    "photography printing fashion cosmetics handel magazin group partners studio studios labs systems media "
    "services technologies digital global industries network networks design".split()
)
"""Words of trade that names of institutions hold as well (``hotel school``): they count only without a type."""

OFFERED = frozenset(
    "online virtual degree certificate certificates certification prep preparation training learning language "
    "languages computer coaching course courses test tests exam exams kids children tutor tutors internship".split()
)
"""Words of what is offered under institutions' names by others."""

AFFILIATED = frozenset(
    "alumni alumnus alumnae club clubs fraternity sorority fans fan friends bookstore bookshop guild students "
    "student parents pta booster boosters athletics tutoring tutors dormitory".split()
)
"""Words of what stands beside an institution and is not it."""

ADDITIONS = (
    TYPES
    | frozenset(_STEMS)
    | frozenset(
        "campus main community clinic area city region province department division center hospital library "
        "office system systems research graduate undergraduate postgraduate extension branch regional higher "
        "studies arts humanities nursing dentistry pharmacy veterinary architecture design journalism "
        "government public administration".split()
    )
)
"""Words that a part of an institution adds to its name: it stays that institution."""


def _place_words() -> frozenset[str]:
    names = [place.name for places in (pycountry.countries, pycountry.subdivisions) for place in places]
    plain = (anyascii(name).lower() for name in names)
    return frozenset(word for name in plain for word in re.findall(r"[a-z]{3,}", name)) - STOP_WORDS


PLACES = _place_words()
"""Words of the names of countries, states and provinces."""

K12 = frozenset("elementary primary kindergarten preschool nursery infant grundschule grammar k12 montessori".split())
"""Words that make a school one for children, by themselves."""

K12_PAIRS = (
    ("high", "school"), ("middle", "school"), ("secondary", "school"), ("school", "district"), ("schools",),
    ("district", "school"), ("day", "school"), ("preparatory", "school"), ("unified", "school"), ("charter", "school"),
)  # fmt: skip

# Words of scripts that put none between words, and of those whose transliteration differs from writer to writer.
UNSPACED = {
    "大学": "university", "大學": "university", "学院": "college", "學院": "college", "学园": "school",
    "学園": "school", "대학교": "university", "대학": "university", "대학원": "university", "학교": "school",
    "高校": "high school",
    "高等学校": "high school", "中学": "middle school", "中學": "middle school", "小学": "elementary school",
    "小學": "elementary school", "学校": "school", "學校": "school", "研究所": "institute", "专科": "college",
    "มหาวิทยาลัย": "university", "วิทยาลัย": "college", "โรงเรียน": "school", "สถาบัน": "institute",
    "جامعة": "university", "جامعه": "university", "الجامعة": "university", "دانشگاه": "university", "كلية": "college",
    "معهد": "institute", "مدرسة": "school", "אוניברסיטת": "university", "אוניברסיטה": "university",
    "מכללת": "college", "המכללה": "college", "विश्वविद्यालय": "university", "महाविद्यालय": "college",
    "বিশ্ববিদ্যালয়": "university", "কলেজ": "college", "இன்ஸ்டிடியூட்": "institute", "பல்கலைக்கழகம்": "university",
    "კოლეჯი": "college", "უნივერსიტეტი": "university", "համալսարան": "university", "သက္ကသိုလ်": "university",
    "សាកលវិទ្យាល័យ": "university", "ມະຫາວິທະຍາໄລ": "university", "විශ්වවිද්‍යාලය": "university",
}  # fmt: skip

# Languages that write compounds as one word: Musikhochschule, Erasmushogeschool.
_WITHIN = {"hochschul": "university", "hogeschool": "university", "universit": "university", "hogskol": "university"}

_BY_FIRST: dict[str, list[tuple[str, str]]] = {}
for _form, _stems in _STEMS.items():
    for _stem in _stems:
        _BY_FIRST.setdefault(_stem[0], []).append((_stem, _form))
for _listed in _BY_FIRST.values():
    _listed.sort(key=lambda one: -len(one[0]))


@lru_cache(maxsize=2048)
def one_form(word: str) -> str:
    """The form that ``word`` (lower-case ASCII) is compared in: one word or, for an abbreviation, several."""
    if word in _WORDS:
        return _WORDS[word]
    found = next((form for stem, form in _BY_FIRST.get(word[:1], ()) if word.startswith(stem)), None)
    return found or next((form for part, form in _WITHIN.items() if part in word), word)
