"""Derive the demo's order log from the order lines of UCI Online Retail II.

    python benchmarks/derive_demo_orders.py --source lines.parquet [--out src/propend/demo/orders.parquet]

One row per invoice: who, when, purchase or cancellation, its value, country, leading product category
and number of lines. Money is summed as decimals and every tie is broken by name, so that the same source
gives the same rows in the same order on any machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb

SHIPPED = Path(__file__).parents[1] / "src" / "propend" / "demo" / "orders.parquet"

# Words of a description that decide a product's category. The first category with a word in it wins, so
# the occasion stands before the thing (a Christmas candle is bought because it is Christmas), and the thing
# before what is painted on it (a sign that speaks of tea is a sign). An underscore is a blank.
CATEGORIES: tuple[tuple[str, str], ...] = (
    ("christmas", "CHRISTMAS XMAS ADVENT SANTA REINDEER NOEL SNOWMAN SNOWFLAKE BAUBLE STOCKING ROBIN"),
    ("decoration", "SIGN DOORMAT MIRROR CLOCK"),
    ("candles", "CANDLE CANDLESTICK CHOCOLATECANDLE VOTIVE INCENSE SCENTED TLIGHT T-LIGHT TEALIGHT OIL"),
    ("lights", "LIGHT LAMP LAMPSHADE CHANDELIER LANTERN LED"),
    ("bags", "BAG SHOPPER PURSE SUITCASE RUCKSACK BACKPACK SATCHEL"),
    ("jewellery", "NECKLACE NECKLACES BRACELET EARRING EARRINGS BANGLE BROOCH CHARM JEWELLERY PENDANT "
                  "TIARA LARIAT HAIRCLIP HAIR"),
    ("party", "PARTY BUNTING BALLOON GARLAND NAPKIN BIRTHDAY STREAMER CONFETTI DOILEY DOILIES DOILY "
              "SPARKLER COCKTAIL STRAW PINATA"),
    ("garden", "GARDEN GARDENER GARDENERS PARASOL WATERING PLANT PLANTER POTTING HERB GROW GROWING PICNIC "
               "HAMMOCK TRELLIS SHED SEED DOVECOTE FEEDER BIRDHOUSE DECKCHAIR BEACH"),
    ("toys", "TOY DOLL DOLLY DOLLCRAFT GAME JIGSAW DOMINO DOMINOES SKITTLES PUPPET PLAYHOUSE CHILD CHILDS "
             "CHILDREN CHILDRENS KID KIDS BABY CIRCUS DINOSAUR FELTCRAFT KNITTING HARMONICA SKIPPING "
             "SPACEBOY PAINT YOYO MARBLES GUMBALL SEWING BABUSHKA PUZZLE RACING GLIDER FLYING"),
    ("stationery", "CARD WRAP WRAPPING NOTEBOOK PENCIL PEN PAPER TAPE STICKER RIBBON TAG TISSUE BOOK "
                   "CALENDAR CHALKBOARD BLACKBOARD MEMO MEMOBOARD ENVELOPE STAMP RULER ERASER RUBBER "
                   "ORGANISER PLANNER JOURNAL DIARY MAGNET PASSPORT STATIONERY CRAYON CHALK"),
    ("textiles", "WATER_BOTTLE CUSHION FLANNEL TEA_TOWEL"),
    ("tea", "TEA TEAPOT TEACUP TEATIME TEASPOON MUG CUP SAUCER COFFEE COSY EGGCUP MILK"),
    ("kitchen", "CAKE CAKESTAND CASES BAKING KITCHEN BOWL PLATE CUTLERY LUNCH SNACK JAM JUG DISH COOK "
                "COOKIE BISCUIT BREAD BUTTER SPOON KNIFE FORK PAN FRYING MOULD CUTTER RECIPE SCALE "
                "MEASURING OVEN TRAY COASTER PLACEMAT TABLE TABLECLOTH GLASS TUMBLER WINE BOTTLE "
                "PANTRY FOOD SUGAR SALT PEPPER EGG JELLY POPCORN BREAKFAST DINNER DINER CORKSCREW "
                "TOAST CHOPPING COLANDER SPICE LADLE GOBLET CARAFE FLASK ICE"),
    ("clothing", "UMBRELLA SCARF GLOVE SOCK SLIPPER HAT PONCHO RAINCOAT PARKA SHAWL SARONG WRIST APRON "
                 "LEGWARMER"),
    ("textiles", "CUSHION QUILT THROW BLANKET CURTAIN TOWEL FLANNEL WARMER HOTTIE RUG PADS BEDDING "
                 "EIDERDOWN PILLOW"),
    ("storage", "BOX BOXES TIN STORAGE BASKET DRAWER CABINET JAR RACK CHEST SHELF SHELVES CRATE BIN TIDY "
                "CONTAINER TRUNK HAMPER BUCKET CASE HOOK HANGER PEG TRINKET TUB CADDY WARDROBE"),
    ("decoration", "SIGN CLOCK MIRROR FRAME PHOTO PICTURE WALL LETTER LETTERS BLOCK HANGING DECORATION "
                   "HEART ORNAMENT DOORMAT DOORSTOP KNOB WREATH STAR FLOWER ROSE VASE FIGURE CANVAS "
                   "WORD PLAQUE DOOR DOORKNOB FLAG EASTER CHICK RABBIT ANGEL BUTTERFLY BIRD THERMOMETER "
                   "STAND CHAIN FEATHER HOLDER COVER FAN MOBILE BLIND COLUMN STICK TREE HOME"),
)  # fmt: skip


def category_rules() -> str:
    """SQL rows ``(rank, category, pattern)``; a pattern is whole words, singular or plural."""
    return ", ".join(
        f"({rank}, '{name}', '(^|[^A-Z])({'|'.join(words.split()).replace('_', ' ')})S?([^A-Z]|$)')"
        for rank, (name, words) in enumerate(CATEGORIES)
    )


def orders_sql(source: Path) -> str:
    """SQL that gives the order log, in order of time."""
    path = str(source).replace("'", "''")
    return f"""
    with lines as (             -- goods sold to or taken back from a known customer, each line once
        select InvoiceNo, upper(StockCode) as product, trim(Description) as description, Quantity,
               InvoiceDate, UnitPrice, CustomerID, Country
        from (select distinct * from read_parquet('{path}'))
        where CustomerID <> '' and UnitPrice > 0 and Quantity <> 0
          and regexp_matches(StockCode, '^[0-9]{{5}}')  -- goods; postage, fees, tests, corrections are words
          and (InvoiceNo[1] = 'C') = (Quantity < 0)
    ), named as (               -- a product's usual description
        select product, description from lines where description is not null
        group by product, description
        qualify row_number() over (partition by product order by count(*) desc, description) = 1
    ), rules(rank, category, pattern) as (
        values {category_rules()}
    ), products as (
        select product, coalesce(min_by(category, rank), 'other') as category
        from named left join rules on regexp_matches(upper(description), pattern)
        group by product
    ), parts as (               -- value of each category in each invoice
        select InvoiceNo, coalesce(category, 'other') as category,
               sum(abs(Quantity) * UnitPrice::decimal(12, 3)) as amount, count(*) as items,
               min(InvoiceDate) as ordered_at, min(CustomerID) as customer_id, min(Country) as country
        from lines left join products using (product)
        group by all
    )
    select min(customer_id) as customer_id, min(ordered_at)::timestamp as ordered_at,
           if(InvoiceNo[1] = 'C', 'cancellation', 'purchase') as kind,
           round(sum(amount), 2)::double as amount, min(country) as country,
           first(category order by amount desc, category) as category, sum(items)::smallint as items
    from parts group by InvoiceNo
    order by ordered_at, customer_id, InvoiceNo
    """


def derive(source: Path, out: Path) -> int:
    """Write the order log; returns its number of rows."""
    connection = duckdb.connect()
    connection.execute("set threads = 1")  # one writer, one order of rows, one file
    path = str(out).replace("'", "''")
    written = connection.execute(
        f"copy ({orders_sql(source)}) to '{path}' (format parquet, parquet_version v2, compression zstd, "
        "compression_level 19, row_group_size 100000)"
    ).fetchall()
    return int(written[0][0])


def main() -> None:
    """Derive the file from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="order lines of Online Retail II")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    rows = derive(given.source, given.out)
    print(f"{rows:,} orders, {given.out.stat().st_size / 1e6:.2f} MB in {given.out}")


if __name__ == "__main__":
    main()
