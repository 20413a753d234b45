"""The words of institutions' names in the languages that they are written in, after transliteration to ASCII.

A word is brought to one form: ``universidade`` and ``uniwersytet`` are ``university``. Stems are matched at a word's
start, the longest first.
"""

from functools import lru_cache

TYPES = frozenset({"university", "college", "institute", "school", "academy", "faculty", "polytechnic", "seminary"})
"""Words that say what kind of institution of education it is."""

HIGHER = frozenset({"university", "college", "institute", "polytechnic", "faculty"})
"""Types that institutions of higher education take from each other: colleges become universities."""

_STEMS = {
    "university": (
        "univers", "unversi", "univeris", "uniwersyt", "egyetem", "yliopist", "ylioppilas", "ulikool", "sveucilist",
        "jamia", "jamea", "gamea", "daigaku", "daehag", "daehak", "daxue", "panepist", "vishwavid", "vishvavid",
        "viswavid", "vidyapee", "vidyapith", "vidapee", "daneshg", "mahawit", "mahavit", "hochschule", "hogeschool",
        "hogskol", "hojskole", "hoyskole", "hoegskol", "fachhochschule", "hoegeschool", "haskol", "augstskol",
        "korgkool", "korkeakoul", "ammattikork", "yuksekokul", "vyssh", "vuz", "oniversit", "iunivers", "unibertsit",
        "prifysgol", "ollscoil", "akademya", "sajakan",
    ),
    "college": ("colleg", "colegi", "kolej", "kolegi", "kolledz", "kolledj", "kollej", "kolegj", "mahavidyal",
                "mahabidyal", "colelg", "koledz", "kolehiyo", "xueyuan"),
    "institute": ("institut", "instytut", "intezet", "istitut", "inistitut", "instiut", "insitut", "enstitu",
                  "yanjiusuo", "iinstitut"),
    "school": ("school", "schule", "schulen", "ecole", "escuela", "escola", "scuola", "skole", "skola", "skolen",
               "skoly", "szkol", "okul", "lisesi", "gymnas", "gimnaz", "gimnas", "lycee", "liceo", "lyceu", "liceu",
               "instituto de educacion secundaria", "koulu", "lukio", "iskola", "grundschule", "gesamtschule", "shkol",
               "sekolah", "eskola", "ysgol", "scoil", "vidyalay", "madras"),
    "academy": ("academ", "akadem", "acadam", "accadem"),
    "faculty": ("facul", "fakult", "facolt"),
    "polytechnic": ("polytech", "politec", "politek", "politeh", "polytek", "politech"),
    "seminary": ("seminar", "semina", "yeshiv", "theologicum"),
    "technology": ("technolog", "tecnolog", "teknolog", "tehnolog", "texnolog", "tekhnolog", "technologic", "tchnol"),
    "technical": ("technic", "technis", "techniq", "tecnic", "tehnic", "teknik", "teknis", "tekhnic", "tehnisk",
                  "teknisk", "texnik", "tekniln", "tekhnich", "techn"),
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
    "north": ("north", "nort", "nord"),
    "south": ("south", "sud", "meridional"),
    "east": ("east", "oriental", "orient", "ost"),
    "west": ("west", "occident", "ouest", "oest"),
    "central": ("central", "centro", "merkez", "zentral"),
    "federation": ("federat",),
    "district": ("district", "distrik"),
}  # fmt: skip

_WORDS = {
    "univ": "university", "uni": "university", "uniw": "university", "unv": "university", "u": "university",
    "universidad": "university", "tu": "technical university", "th": "technical university", "fh": "university",
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
    "norte": "north", "est": "east", "este": "east", "leste": "east", "ost": "east", "nauk": "science",
    "moscow": "moscow", "moskva": "moscow", "moskau": "moscow", "moskovskij": "moscow", "moskovskii": "moscow",
    "munchen": "munich", "muenchen": "munich", "koln": "cologne", "koeln": "cologne", "wien": "vienna",
    "roma": "rome", "milano": "milan", "torino": "turin", "venezia": "venice", "firenze": "florence",
    "napoli": "naples", "genova": "genoa", "padova": "padua", "praha": "prague", "warszawa": "warsaw",
    "warszawski": "warsaw", "krakow": "cracow", "lisboa": "lisbon", "sevilla": "seville", "zaragoza": "saragossa",
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
    "ltd limited inc incorporated llc llp lllp corp corporation plc gmbh ggmbh mbh ohg ug bv nv vof oy oyj aps "
    "asa srl srls sarl sas sasu eurl ltda limitada eirl cia pty pvt bhd sdn pte kk ooo zao oao pao pjsc jsc ojsc "
    "sro spzoo kft zrt doo dooel eood ood ead tbk fzco fze fzc wll company gesellschaft unlimited".split()
)
"""Words that make a name a company's, wherever they stand."""

LAST_LEGAL_FORMS = frozenset("ag kg sa ab as se spa co cv lp sl sc kk pt".split())
"""Words that do so at a name's end."""

COMMERCIAL = frozenset(
    "consulting consultancy consultants consultant solutions software shop store shopping outlet ventures venture "
    "capital holding holdings trading traders marketing advertising agency logistics insurance bank banking "
    "realty casino betting hosting seo enterprises industries manufacturing motors automotive retail wholesale "
    "restaurant cafe coffee bakery hotel hotels resort travel tours airlines construction builders plumbing "
    "electronics pharmaceuticals pharma biotech investments investment finance financial fitness gym salon spa "
    "cleaning catering brewery winery supply supplies mall market supermarket rental rentals leasing mining "
    "petroleum energy telecom wireless games gaming entertainment productions photography printing apparel "
    "fashion jewelry cosmetics furniture crypto blockchain nft dealer dealers reseller resellers discount deals "
    "essays essay homework cheats diploma diplomas staffing recruiting recruitment outsourcing freelance startup "
    "gmail webshop saas beratung handel vertrieb loja tienda negozio boutique butik magazin".split()
)
"""Words of trade. Those that universities' names hold as well (``hotel school``) count only without a type."""

AFFILIATED = frozenset(
    "alumni alumnus alumnae club clubs fraternity sorority fans fan friends bookstore bookshop union guild "
    "students student parents pta booster boosters athletics tutoring tutors dormitory".split()
)
"""Words of what stands beside an institution and is not it."""

K12 = frozenset(
    "elementary primary kindergarten preschool nursery infant junior grundschule grammar k12 montessori".split()
)
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

_BY_FIRST: dict[str, list[tuple[str, str]]] = {}
for _form, _stems in _STEMS.items():
    for _stem in _stems:
        _BY_FIRST.setdefault(_stem[0], []).append((_stem, _form))
for _listed in _BY_FIRST.values():
    _listed.sort(key=lambda one: -len(one[0]))


@lru_cache(maxsize=65536)
def one_form(word: str) -> str:
    """The form that ``word`` (lower-case ASCII) is compared in: one word or, for an abbreviation, several."""
    if word in _WORDS:
        return _WORDS[word]
    return next((form for stem, form in _BY_FIRST.get(word[:1], ()) if word.startswith(stem)), word)
